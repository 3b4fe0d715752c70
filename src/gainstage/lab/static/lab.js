// The page: tabs, the settings, and what they do to a network.
import {place, widthOf} from './charts.js';
import {buildControls} from './controls.js';
import {showQuestions} from './questions.js';
import {ask, changes, known, onChange, path, readAddress, say, set, state, writeAddress} from './state.js';
import {leaveTraining, showTraining} from './train.js';

const VIEWS = ['explore', 'train', 'questions'];
const at = id => document.getElementById(id);
let view = 'explore', asked = null, wanted = false, quickDone = true, failures = 0;

const SHOWN = {
  levels: stage => place(at('depth'), stage.chart),
  findings: stage => {
    place(at('depth'), stage.chart);
    at('findings').innerHTML = stage.findings;
    at('plan').innerHTML = stage.plan;
  },
  theory: stage => {
    if (stage.chart) place(at('depth'), stage.chart);
    place(at('phase'), stage.phase);
    place(at('histograms'), stage.histograms || '<p class="soft">No distributions were recorded.</p>');
  },
};

async function look() {
  if (view !== 'explore') return;
  if (!quickDone) { wanted = true; return; }  // a control that is dragged: the last place counts
  asked?.abort();
  const mine = asked = new AbortController();
  wanted = false;
  quickDone = false;
  at('depth').dataset.stage = '';
  for (const id of ['depth', 'findings', 'phase', 'histograms']) at(id).setAttribute('aria-busy', 'true');
  const began = performance.now();
  try {
    const answer = await ask('/api/look', {body: {state: {...state}, width: widthOf(at('depth')), side: widthOf(at('phase'))}, signal: mine.signal});
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const {value, done} = await reader.read();
      if (done || mine !== asked) break;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines) show(JSON.parse(line), began);
      if (quickDone && wanted) break;
    }
    failures = 0;
  } catch (error) {
    if (mine.signal.aborted) return;
    failed(error);
  } finally {
    if (mine === asked) quickDone = true;
  }
  if (mine === asked && wanted) look();
}

function show(stage, began) {
  quickDone = true;
  if (stage.stage === 'error') {
    say(stage.error, true);
    at('findings').textContent = stage.error;
    return;
  }
  SHOWN[stage.stage](stage);
  at('depth').dataset.stage = stage.stage;
  document.body.dataset[stage.stage] = Math.round(performance.now() - began);
  for (const id of stage.stage === 'theory' ? ['depth', 'phase', 'histograms'] : stage.stage === 'findings' ? ['depth', 'findings'] : ['depth']) at(id).setAttribute('aria-busy', 'false');
  const told = {levels: 'Level and gradient are measured. The findings follow …', findings: 'Findings and plan are here. Theory follows …', theory: ''};
  say(told[stage.stage]);
}

function failed(error) {
  const lost = error instanceof TypeError;  // no answer at all
  say(lost ? 'The lab does not answer. Start it again (gainstage lab) and open the address that it prints.' : error.message, true);
  failures += 1;
  if (lost && failures < 200) setTimeout(look, 3000);
}

function choose(name) {
  view = VIEWS.includes(name) ? name : 'explore';
  for (const one of VIEWS) {
    at(one).hidden = one !== view;
    at(`tab-${one}`).setAttribute('aria-selected', String(one === view));
    at(`tab-${one}`).tabIndex = one === view ? 0 : -1;
  }
  document.querySelector('.bench').classList.toggle('alone', view === 'questions');
  writeAddress(view);
  if (view === 'explore') look();
  if (view === 'train') showTraining(); else leaveTraining();
  if (view === 'questions') showQuestions();
}

function takeAway() {
  for (const link of document.querySelectorAll('[data-download]')) link.href = path(`/api/export/${link.dataset.download}`, changes());
}

async function copy(kind) {
  try {
    const text = kind === 'address' ? location.href : await (await ask(`/api/export/${kind}`, {query: changes()})).text();
    await navigator.clipboard.writeText(text);
    say(`Copied: ${text.split('\n')[0]}${text.includes('\n') ? ' …' : ''}`);
  } catch (error) {
    say(error.message, true);
  }
}

async function begin() {
  say('The lab starts: PyTorch is being loaded …');
  try {
    Object.assign(known, await (await ask('/api/start')).json());
  } catch (error) {
    say(token ? error.message : 'Open the address that the lab printed: it holds the token without which nothing is computed.', true);
    return;
  }
  if (!location.hash && known.query) history.replaceState(null, '', `${location.search}#${known.query}`);
  const given = readAddress();
  if (innerWidth < 900) document.querySelector('.settings').open = false;
  buildControls(at('controls'));
  for (const one of VIEWS) at(`tab-${one}`).addEventListener('click', () => choose(one));
  document.querySelector('nav').addEventListener('keydown', event => {
    const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!by) return;
    choose(VIEWS[(VIEWS.indexOf(view) + by + VIEWS.length) % VIEWS.length]);
    at(`tab-${view}`).focus();
  });
  onChange(() => { writeAddress(view); takeAway(); look(); });
  at('findings').addEventListener('click', event => {
    const button = event.target.closest('.apply');
    if (button) set({scheme: button.dataset.scheme, gain: known.usual.gain, bias: known.usual.bias});
  });
  for (const button of document.querySelectorAll('[data-copy]')) button.addEventListener('click', () => copy(button.dataset.copy));
  addEventListener('hashchange', () => { const query = readAddress(); set({}); choose(query.get('view') ?? 'explore'); });
  let width = innerWidth;
  addEventListener('resize', () => { if (Math.abs(innerWidth - width) > 40) { width = innerWidth; look(); } });
  takeAway();
  document.body.dataset.ready = 'true';
  choose(given.get('view') ?? 'explore');
}

const token = new URLSearchParams(location.search).get('token');
begin();
