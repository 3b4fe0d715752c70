// The seven questions: guess, run, read. What was guessed and found stays in this browser.
import {place} from './charts.js';
import {ask, make, path, readAddress, say, set, token} from './state.js';

const at = id => document.getElementById(id);
const KEY = 'gainstage-lab-answers';
let every = null, shown = 0, done = {};
try { done = JSON.parse(localStorage.getItem(KEY)) ?? {}; } catch { done = {}; }

function remember(claim, score) {
  done[claim] = score;
  try { localStorage.setItem(KEY, JSON.stringify(done)); } catch { /* a browser that keeps nothing */ }
}

export async function showQuestions() {
  if (!every) {
    say('The questions are being loaded …');
    try {
      every = await (await ask('/api/questions')).json();
    } catch (error) {
      say(error.message, true);
      return;
    }
    say('');
    open(0);
  }
  list();
}

function list() {
  at('list').replaceChildren(...every.map((question, i) => {
    const cards = question.cards.filter(card => done[card.claim]);
    const right = cards.reduce((sum, card) => sum + done[card.claim].right, 0);
    const of = cards.reduce((sum, card) => sum + done[card.claim].of, 0);
    const score = cards.length ? `${cards.length} of ${question.cards.length} cards, ${right} of ${of} right` : `${question.cards.length} cards`;
    const button = make('button', {type: 'button'}, make('span', {textContent: `${question.number}`}),
      make('span', {textContent: question.question}), make('span', {className: 'score', textContent: score}));
    button.setAttribute('aria-current', String(i === shown));
    button.addEventListener('click', () => { open(i); list(); at('question').querySelector('h2').focus(); });
    return make('li', {}, button);
  }));
}

function open(place) {
  shown = place;
  const question = every[place];
  const title = make('h2', {textContent: `${question.number}. ${question.question}`, tabIndex: -1});
  const intro = make('div', {className: 'panel'}, title,
    make('p', {className: 'lead', textContent: `Measured on ${question.setting}. Five to ten minutes; begin with the first card.`}));
  const parts = [intro, ...question.cards.map(card => exercise(card))];
  if (Object.keys(question.code).length) parts.push(codes(question.code));
  const answer = make('details', {className: 'panel'}, make('summary', {textContent: 'The answer in words (read it after the cards)'}),
    ...question.text.map(text => make('p', {textContent: text})),
    make('p', {className: 'soft', textContent: `References: ${question.references.join('; ')}`}));
  parts.push(answer);
  if (question.play) parts.push(play(question));
  at('question').replaceChildren(...parts);
}

function codes(code) {
  return make('div', {className: 'panel'}, make('h2', {textContent: 'The same start in both frameworks'}),
    make('div', {className: 'beside'}, ...Object.entries(code).map(([name, text]) =>
      make('div', {}, make('h3', {textContent: name}), make('pre', {}, make('code', {textContent: text}))))));
}

function play(question) {
  const button = make('button', {type: 'button', className: 'primary', textContent: 'Open this network in Explore'});
  button.addEventListener('click', () => { readAddress(question.play); set({}); at('tab-explore').click(); });
  const hint = question.hint.replace(/`([^`]*)`/g, '$1');
  return make('div', {className: 'panel'}, make('h2', {textContent: 'Your turn'}), make('p', {textContent: hint}), button);
}

function guesses(card, box) {
  const name = `g-${card.claim}`;
  if (!card.cases.length) {
    for (const [value, text] of [['yes', 'Yes'], ['no', 'No']]) box.append(make('label', {}, make('input', {type: 'radio', name, value}), text));
    return () => { const found = box.querySelector(':checked'); return found && {'': found.value === 'yes'}; };
  }
  for (const value of card.cases) box.append(make('label', {}, make('input', {type: 'checkbox', name, value}), value));
  return () => Object.fromEntries([...box.querySelectorAll('input')].map(input => [input.value, input.checked]));
}

function exercise(card) {
  const box = make('fieldset', {className: 'cases'}, make('legend', {className: 'soft',
    textContent: card.cases.length ? 'Your guess: tick every case for which the answer is yes' : 'Your guess'}));
  const guess = guesses(card, box);
  const seed = make('input', {type: 'number', min: 0, max: 9999, value: 0});
  const size = make('select', {}, new Option('quick, some seconds', '1'), new Option('full, up to minutes', '0'));
  const settings = make('details', {}, make('summary', {textContent: 'The experiment’s settings'}),
    make('p', {className: 'soft', textContent: `${card.study}. What decides: ${card.criterion}.`}),
    make('p', {className: 'open-settings'}, make('label', {}, 'seed ', seed), make('label', {}, 'size ', size)));
  const run = make('button', {type: 'button', className: 'primary', textContent: 'Run the experiment'});
  const found = make('div', {className: 'found'});
  found.setAttribute('aria-live', 'polite');
  const whole = make('section', {className: 'panel exercise'},
    make('h3', {}, make('span', {className: 'number', textContent: card.claim}), card.ask), box, settings, make('p', {}, run), found);
  whole.dataset.claim = card.claim;
  run.addEventListener('click', () => {
    const mine = guess();
    if (!mine) { found.replaceChildren(make('p', {className: 'wrong', textContent: 'Guess first: yes or no?'})); return; }
    experiment(card, mine, {seed: seed.value || 0, quick: size.value}, run, found);
  });
  return whole;
}

function experiment(card, mine, query, run, found) {
  run.disabled = true;
  const bar = make('progress', {max: 1});
  const stage = make('p', {className: 'soft', textContent: 'The experiment runs …'});
  found.replaceChildren(bar, stage);
  const source = new EventSource(path(`/api/ask/${card.claim}`, query));
  const end = (...parts) => { source.close(); run.disabled = false; run.textContent = 'Run it again'; if (parts.length) found.replaceChildren(...parts); };
  source.addEventListener('progress', event => {
    const told = JSON.parse(event.data);
    bar.value = told.share;
    stage.textContent = `${told.stage} …`;
  });
  source.addEventListener('evidence', event => {
    const evidence = JSON.parse(event.data);
    if (evidence.claim === card.claim) end(...verdict(card, mine, evidence));
  });
  source.addEventListener('failed', event => end(make('p', {className: 'wrong', textContent: JSON.parse(event.data).error})));
  source.onerror = () => end(make('p', {className: 'wrong', textContent: 'The lab went away, or runs another experiment. Try again.'}));
}

function verdict(card, mine, evidence) {
  const yes = value => value ? 'yes' : 'no';
  const asked = Object.keys(mine).filter(name => evidence.outcomes[name] !== null && name in evidence.outcomes);
  const right = asked.filter(name => mine[name] === evidence.outcomes[name]).length;
  remember(card.claim, {right, of: asked.length});
  list();
  const rows = evidence.rows.filter(row => row.case in mine || !card.cases.length).map(row => {
    const hit = mine[row.case] === evidence.outcomes[row.case];
    return make('tr', {}, ...[row.case || '–', yes(mine[row.case])].map(text => make('td', {textContent: text})),
      make('td', {className: hit ? 'right' : 'wrong', textContent: evidence.outcomes[row.case] === null ? 'not measured' : `${yes(evidence.outcomes[row.case])} ${hit ? '✓' : '✗'}`}),
      make('td', {textContent: row.measured}), make('td', {textContent: row.asked}), make('td', {textContent: row.figure}));
  });
  const heads = ['case', 'your guess', 'answer', 'measured [95 % interval]', 'asked for', 'figure'];
  const table = make('div', {className: 'wide'}, make('table', {}, make('thead', {}, make('tr', {}, ...heads.map(
    text => make('th', {scope: 'col', textContent: text})))), make('tbody', {}, ...rows)));
  const score = make('p', {className: right === asked.length ? 'right' : 'wrong', textContent: `${right} of ${asked.length} right.`});
  const why = make('p', {className: 'why'}, make('strong', {textContent: right === asked.length ? 'Why: ' : 'What that overlooked: '}), card.why);
  const told = make('p', {}, make('strong', {textContent: `The claim “${evidence.statement}” ${evidence.verdict}. `}), evidence.conditions);
  const picture = make('div', {className: 'picture chart'});
  if (evidence.picture) place(picture, evidence.picture);
  return [score, table, told, why, picture];
}
