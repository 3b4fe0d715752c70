"""The page's one script: it sorts and filters tables and moves sliders. Without it every row is shown."""

from __future__ import annotations

__all__ = ["SCRIPT"]

SCRIPT = """
const odd = {'inf': Infinity, '-inf': -Infinity};
const number = text => odd[text] ?? parseFloat(text.replaceAll(',', ''));
for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const order = new Map(rows.map((row, i) => [row, i]));
  heads.forEach((head, i) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const now = head.getAttribute('aria-sort');
      const next = now === 'ascending' ? 'descending' : now === 'descending' ? null : 'ascending';
      for (const other of heads) other.removeAttribute('aria-sort');
      if (next) head.setAttribute('aria-sort', next);
      const sign = next === 'descending' ? -1 : 1;
      const text = row => row.cells[i].textContent;
      rows.sort((a, b) => {
        if (!next) return order.get(a) - order.get(b);
        const x = text(a), y = text(b), m = number(x), n = number(y);
        const lacks = t => t === '' || t === 'NaN';
        if (lacks(x) || lacks(y)) return lacks(x) - lacks(y) || order.get(a) - order.get(b);
        const by = isNaN(m) || isNaN(n) ? x.localeCompare(y, undefined, {numeric: true}) : m - n || 0;
        return sign * by || order.get(a) - order.get(b);
      });
      body.append(...rows);
    });
  });
  const [tools, filter, told] = ['p', 'input', 'span'].map(name => document.createElement(name));
  tools.className = 'tools';
  filter.type = 'search';
  filter.placeholder = 'Filter rows';
  filter.setAttribute('aria-label', 'Filter rows');
  told.className = 'soft';
  told.setAttribute('role', 'status');
  filter.addEventListener('input', () => {
    const words = filter.value.toLowerCase().split(' ').filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    told.textContent = words.length ? `${shown} of ${rows.length} rows` : '';
  });
  tools.append(filter, told);
  table.parentElement.before(tools);
}
for (const sliding of document.querySelectorAll('.sliding')) {
  const line = sliding.querySelector('.slide'), told = line.querySelector('output');
  const range = line.querySelector('input'), places = range.dataset.places.split(' ');
  const charts = [...sliding.querySelectorAll('svg')].map(svg => [...svg.querySelectorAll('.place')]);
  const show = () => {
    const at = Number(range.value);
    told.textContent = places[at];
    range.setAttribute('aria-valuetext', places[at]);
    for (const groups of charts) groups.forEach((group, i) => {
      if (i === at) group.removeAttribute('display'); else group.setAttribute('display', 'none');
    });
  };
  range.addEventListener('input', show);
  line.hidden = false;
  show();
}
"""
