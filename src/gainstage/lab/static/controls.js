// The form on the left: every control is made from the limits and lists that the lab itself enforces.
import {known, make, onChange, set, state} from './state.js';

const WIDTHS = [8, 16, 32, 64, 128, 256, 512, 1024];
const SCALES = {
  depth: {about: '', from: 1, to: 200, log: true, whole: true, steps: 120},
  width: {places: WIDTHS},
  dropout: {from: 0, to: 0.9, steps: 18},
  gain: {from: 0.1, to: 10, log: true, steps: 200, digits: 3},
  bias: {from: 0, to: 2, steps: 100},
  rate: {from: 1e-4, to: 10, log: true, steps: 100, digits: 2},
  steps: {from: 10, to: 2000, log: true, whole: true, steps: 100},
  batch: {places: [8, 16, 32, 64, 128, 256, 512]},
};
const GROUPS = [
  ['Network', [['model', 'model'], ['framework', 'framework'], ['depth', 'hidden layers'], ['width', 'units a layer'],
    ['activation', 'activation'], ['norm', 'normalisation'], ['residual', 'skips'], ['dropout', 'dropout']]],
  ['Start', [['scheme', 'scheme'], ['gain', 'gain'], ['mirrored', 'mirrored pairs'], ['bias', 'bias spread'], ['seed', 'seed']]],
  ['Data and training', [['data', 'data'], ['batch', 'batch'], ['optimizer', 'optimizer'], ['rate', 'learning rate'], ['steps', 'steps']]],
];
const WORDS = {torch: 'PyTorch', keras: 'Keras', auto: 'auto (gainstage)', pytorch_default: "PyTorch's default", keras_default: "Keras's default",
  glorot_normal: 'Xavier (glorot_normal)', he_normal: 'He (he_normal)', keep: 'keep (as it was built)', mirrored: 'mirrored pairs'};
const OWN_NETWORK = ['framework', 'depth', 'width', 'activation', 'norm', 'residual', 'dropout', 'data'];

function place(scale, value) {
  if (scale.places) return scale.places.reduce((best, at, i) => Math.abs(at - value) < Math.abs(scale.places[best] - value) ? i : best, 0);
  const share = scale.log ? Math.log(value / scale.from) / Math.log(scale.to / scale.from) : (value - scale.from) / (scale.to - scale.from);
  return Math.round(Math.min(Math.max(share, 0), 1) * scale.steps);
}

function valueAt(scale, at) {
  if (scale.places) return scale.places[at];
  const share = at / scale.steps;
  const value = scale.log ? scale.from * (scale.to / scale.from) ** share : scale.from + share * (scale.to - scale.from);
  return scale.whole ? Math.round(value) : Number(value.toPrecision(scale.digits ?? 3));
}

function ranged(name, label) {
  const scale = SCALES[name], id = `c-${name}`;
  const input = make('input', {id, type: 'range', min: 0, max: scale.places ? scale.places.length - 1 : scale.steps, step: 1});
  const output = make('output', {htmlFor: id});
  let exact = null;
  const show = () => {
    if (document.activeElement !== input || exact !== state[name]) input.value = place(scale, state[name]);
    output.textContent = String(state[name]);
    input.setAttribute('aria-valuetext', String(state[name]));
  };
  input.addEventListener('input', () => {
    let value = valueAt(scale, Number(input.value));
    if (scale.whole && value === state[name]) {  // a step of a logarithmic scale below one whole number
      value += Math.sign(Number(input.value) - place(scale, state[name]));
      value = Math.min(Math.max(value, scale.from), scale.to);
    }
    exact = value;
    set({[name]: value});
  });
  return [make('div', {className: 'control number'}, make('label', {htmlFor: id, textContent: label}), input, output), show];
}

function chosen(name, label) {
  const id = `c-${name}`;
  const input = make('select', {id}, ...known.choices[name].map(value => new Option(WORDS[value] ?? value, value)));
  input.addEventListener('change', () => set({[name]: input.value}));
  return [make('div', {className: 'control'}, make('label', {htmlFor: id, textContent: label}), input), () => { input.value = state[name]; }];
}

function checked(name, label, read, write) {
  const id = `c-${name}`, input = make('input', {id, type: 'checkbox'});
  input.addEventListener('change', () => set(write(input.checked)));
  return [make('div', {className: 'control'}, make('label', {htmlFor: id, textContent: label}), input), () => { input.checked = read(); }];
}

function seeded(name, label) {
  const id = `c-${name}`, input = make('input', {id, type: 'number', min: 0, max: known.limits.seed[1], step: 1});
  input.addEventListener('change', () => { if (input.checkValidity() && input.value !== '') set({seed: Number(input.value)}); });
  return [make('div', {className: 'control'}, make('label', {htmlFor: id, textContent: label}), input), () => { input.value = state.seed; }];
}

function modelled(name, label) {
  const kinds = [['', "the lab's own network"], ...(known.own ? [['own', known.own]] : []), ['named', 'one of a collection …']];
  const pick = make('select', {id: 'c-model'}, ...kinds.map(([value, text]) => new Option(text, value)));
  const typed = make('input', {id: 'c-named', type: 'text', placeholder: 'hf:gpt2,n_layer=2', spellcheck: false});
  typed.setAttribute('aria-label', 'Name of the model, such as hf:gpt2, timm:resnet18 or keras:MobileNetV2');
  const row = make('div', {className: 'control'}, make('label', {htmlFor: 'c-model', textContent: label}), pick, make('span'), typed);
  const show = () => {
    if (state.model || pick.value !== 'named') pick.value = state.model === '' ? '' : state.model === 'own' ? 'own' : 'named';
    typed.hidden = pick.value !== 'named';
    if (pick.value === 'named' && state.model) typed.value = state.model;
  };
  pick.addEventListener('change', () => {
    if (pick.value === 'named') { typed.hidden = false; typed.focus(); } else set({model: pick.value});
  });
  typed.addEventListener('change', () => { if (typed.value.trim()) set({model: typed.value.trim()}); });
  return [row, show];
}

const KINDS = {
  model: modelled, seed: seeded,
  residual: (name, label) => checked(name, label, () => state.residual, on => ({residual: on})),
  mirrored: (name, label) => checked(name, label, () => state.scheme === 'mirrored', on => ({scheme: on ? 'mirrored' : known.usual.scheme})),
};

export function buildControls(form) {
  const shows = [];
  for (const [title, rows] of GROUPS) {
    const group = make('fieldset', {}, make('legend', {textContent: title}));
    for (const [name, label] of rows) {
      const kind = KINDS[name] ?? (name in SCALES ? ranged : chosen);
      const [row, show] = kind(name, label);
      row.dataset.name = name;
      group.append(row);
      shows.push(show);
    }
    form.append(group);
  }
  form.addEventListener('submit', event => event.preventDefault());
  const show = () => {
    for (const one of shows) one();
    for (const name of OWN_NETWORK) form.querySelector(`[data-name=${name}]`).hidden = state.model !== '';
  };
  onChange(show);
  show();
}
