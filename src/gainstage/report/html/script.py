"""The page's one script: sorting and filtering of tables. Without it every row is simply there."""

from __future__ import annotations

__all__ = ["SCRIPT"]

SCRIPT = """
for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0], rows = [...body.rows];
  const value = (row, i) => { const c = row.cells[i]; return c.dataset.value ?? c.textContent; };
  [...table.tHead.rows[0].cells].forEach((head, i) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') === 'ascending';
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const sign = down ? -1 : 1;
      rows.sort((a, b) => {
        const x = value(a, i), y = value(b, i), m = parseFloat(x), n = parseFloat(y);
        if (x === '' || y === '') return (x === '') - (y === '');
        return sign * (isNaN(m) || isNaN(n) ? x.localeCompare(y) : m - n);
      });
      body.append(...rows);
    });
  });
  const filter = document.createElement('input');
  filter.className = 'filter';
  filter.type = 'search';
  filter.placeholder = 'Filter rows';
  filter.setAttribute('aria-label', 'Filter rows');
  filter.addEventListener('input', () => {
    const wanted = filter.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  table.parentElement.before(filter);
}
"""
