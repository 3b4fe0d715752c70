// Charts come as SVG from the lab; here their points answer to pointer, finger and arrow keys.
const tip = document.getElementById('tip');

export function place(holder, svg) {
  holder.innerHTML = svg;  // written by the lab's chart module, which escapes every name
  for (const chart of holder.querySelectorAll('svg')) {
    for (const title of chart.querySelectorAll('circle > title, path.flag > title')) {
      title.parentNode.dataset.tip = title.textContent;
      title.remove();
    }
    if (chart.querySelector('[data-tip]')) {
      chart.tabIndex = 0;
      chart.setAttribute('aria-keyshortcuts', 'ArrowLeft ArrowRight');
    }
  }
}

function show(point, text = point.dataset.tip) {
  const box = point.getBoundingClientRect();
  tip.textContent = text;
  tip.hidden = false;
  const room = tip.getBoundingClientRect();
  tip.style.left = `${Math.min(Math.max(box.x + box.width / 2 - room.width / 2, 4), innerWidth - room.width - 4)}px`;
  tip.style.top = `${box.y > room.height + 12 ? box.y - room.height - 8 : box.bottom + 8}px`;
}

function nearest(chart, event) {
  let best = null, least = 28;
  for (const point of chart.querySelectorAll('circle[data-tip]')) {
    const box = point.getBoundingClientRect();
    const away = Math.hypot(box.x + box.width / 2 - event.clientX, box.y + box.height / 2 - event.clientY);
    if (away < least) [best, least] = [point, away];
  }
  return best ?? event.target.closest('[data-tip]');
}

for (const kind of ['pointermove', 'pointerdown']) {
  document.addEventListener(kind, event => {
    const chart = event.target.closest?.('.chart svg, .picture svg');
    const point = chart && nearest(chart, event);
    if (point) show(point); else tip.hidden = true;
  });
}
document.addEventListener('keydown', event => {
  const chart = event.target;
  if (event.key === 'Escape') tip.hidden = true;
  if (!(chart instanceof SVGSVGElement) || !['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(event.key)) return;
  event.preventDefault();
  const points = [...chart.querySelectorAll('circle[data-tip]')];
  const at = Number(chart.dataset.at ?? -1) + (event.key === 'ArrowRight' ? 1 : -1);
  const next = event.key === 'Home' ? 0 : event.key === 'End' ? points.length - 1 : Math.min(Math.max(at, 0), points.length - 1);
  chart.dataset.at = next;
  show(points[next]);
  document.getElementById('status').textContent = points[next].dataset.tip;
});
document.addEventListener('focusout', () => { tip.hidden = true; });

export const widthOf = holder => Math.round(Math.min(Math.max(holder.clientWidth || 720, 280), 1400));
