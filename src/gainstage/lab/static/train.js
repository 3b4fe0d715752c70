// Trainings side by side: their curves come as server-sent events, and end when the page goes away.
import {place, widthOf} from './charts.js';
import {ask, known, make, onChange, path, say, state} from './state.js';

const at = id => document.getElementById(id);
const NAMES = ['loss', 'accuracy', 'moved', 'gradient'];
let starts = null, run = null, source = null, held = false;

function words(one, first) {
  const apart = Object.keys(known.usual).filter(name => one[name] !== first[name]);
  return apart.map(name => `${name}: ${first[name]} → ${one[name]}`).join(', ');
}

function list() {
  at('starts').replaceChildren(...starts.map((one, i) => {
    const shown = i === 0 ? {...state} : one;
    const network = shown.model || `${shown.depth} × ${shown.width} ${shown.activation}${shown.norm === 'none' ? '' : `, ${shown.norm} norm`}${shown.residual ? ', skips' : ''}`;
    const line = make('li', {}, make('strong', {textContent: shown.scheme + (shown.gain === 1 ? '' : ` × ${shown.gain}`)}), ` on ${network}`);
    if (i === 0) line.append(make('span', {className: 'changed', textContent: ' — the settings on the left'}));
    else {
      line.append(make('span', {className: 'changed', textContent: ` — what changed: ${words(one, state) || 'nothing'}`}));
      const button = make('button', {type: 'button', textContent: 'remove'});
      button.setAttribute('aria-label', `Remove start ${i + 1}`);
      button.addEventListener('click', () => { starts.splice(i, 1); list(); });
      line.append(button);
    }
    return line;
  }));
  at('add').disabled = starts.length >= 4;
}

export function showTraining() {
  starts ??= [null, {...state, scheme: state.scheme === 'auto' ? 'pytorch_default' : 'auto', gain: 1, bias: 0}];
  list();
}

function buttons(running) {
  at('run').disabled = running;
  for (const id of ['hold', 'step', 'stop']) at(id).disabled = !running;
  at('hold').textContent = held ? 'Go on' : 'Hold';
}

function over(text, failed = false) {
  source?.close();
  source = run = null;
  held = false;
  buttons(false);
  say(text, failed);
}

export function leaveTraining() { if (source) over('The training was stopped.'); }

async function train() {
  buttons(true);
  say('The networks are being built …');
  const every = starts.map((one, i) => i === 0 ? {...state} : {...one, steps: state.steps, batch: state.batch, data: state.data});
  try {
    run = (await (await ask('/api/train', {body: {states: every}})).json()).run;
  } catch (error) {
    over(error.message, true);
    return;
  }
  source = new EventSource(path(`/api/train/${run}/events`, {width: widthOf(at('chart-loss'))}));
  let begun = false;
  source.addEventListener('picture', event => {
    begun = true;
    const {charts, rows, held: waits} = JSON.parse(event.data);
    for (const name of NAMES) if (charts[name]) place(at(`chart-${name}`), charts[name]);
    at('rows').tBodies[0].replaceChildren(...rows.map(row => make('tr', {}, ...['label', 'steps', 'loss', 'accuracy', 'error'].map(
      key => make('td', {textContent: row[key]})))));
    if (rows.some(row => row.steps)) say(waits ? 'The trainings wait.' : `Step ${Math.max(...rows.map(row => row.steps))} of ${state.steps}`);
    held = waits;
    buttons(true);
  });
  source.addEventListener('over', () => over('The trainings are over.'));
  source.onerror = () => over(begun ? 'The lab went away, and the training with it. Press Train to start anew.' : 'The training could not be started: the lab is busy or was started anew.', true);
}

async function act(action) {
  try {
    held = (await (await ask(`/api/train/${run}/${action}`, {body: {}})).json()).held;
    buttons(true);
  } catch (error) {
    over(error.message, true);
  }
}

at('run').addEventListener('click', train);
at('hold').addEventListener('click', () => act(held ? 'go' : 'hold'));
at('step').addEventListener('click', () => act('step'));
at('stop').addEventListener('click', () => act('stop'));
at('add').addEventListener('click', () => { starts.push({...state}); list(); });
onChange(() => { if (starts) list(); });
