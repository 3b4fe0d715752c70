// The state of the page: one object of settings, kept in the address behind the '#'.
export const token = new URLSearchParams(location.search).get('token') ?? '';
export const known = {limits: {}, choices: {}, usual: {}, own: ''};
export const state = {};
const watchers = [];

export function path(route, query = {}) {
  return `${route}?${new URLSearchParams({...query, token})}`;
}

export async function ask(route, {body, query, signal} = {}) {
  const post = body === undefined ? {} : {method: 'POST', body: JSON.stringify(body), headers: {'content-type': 'application/json'}};
  const answer = await fetch(path(route, query), {...post, signal});
  if (answer.ok) return answer;
  const text = await answer.text();
  let told = text;
  try { told = JSON.parse(text).error; } catch { /* plain text */ }
  throw new Error(told || `The lab answered ${answer.status}.`);
}

export function changes() {
  const found = {};
  for (const [name, usual] of Object.entries(known.usual)) if (state[name] !== usual) found[name] = String(state[name]);
  return found;
}

function parsed(name, text) {
  const usual = known.usual[name];
  return typeof usual === 'boolean' ? text === 'true' : typeof usual === 'number' ? Number(text) : text;
}

export function readAddress(query = location.hash.slice(1)) {
  const given = new URLSearchParams(query);
  for (const [name, usual] of Object.entries(known.usual)) state[name] = given.has(name) ? parsed(name, given.get(name)) : usual;
  return given;
}

export function writeAddress(view) {
  const query = new URLSearchParams(changes());
  if (view && view !== 'explore') query.set('view', view);
  const text = query.toString();
  history.replaceState(null, '', `${location.pathname}${location.search}${text ? '#' + text : ''}`);
}

export function onChange(watcher) { watchers.push(watcher); }

export function set(values) {
  Object.assign(state, values);
  for (const watcher of watchers) watcher(values);
}

export function say(text, failed = false) {
  const line = document.getElementById('status');
  line.textContent = text;
  line.classList.toggle('failed', failed);
}

export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== 'list') made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
