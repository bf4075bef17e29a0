"""What every page must keep, asked of an open page; each answer is a list of faults."""

from __future__ import annotations

from tools.chromium import Tab

# an element that is drawn: not in a closed fold, not hidden, not outside for a reader of screens
_SHOWN = """
const shown = e => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length;
const name = e => `${e.tagName.toLowerCase()}.${e.getAttribute('class') ?? ''}: `
  + (e.textContent ?? '').trim().replace(/\\s+/g, ' ').slice(0, 50);
"""
_CLIPPED = """
const faults = [];
if (document.documentElement.scrollWidth > innerWidth) {
  faults.push(`the page is ${document.documentElement.scrollWidth} px wide`);
}
for (const e of document.querySelectorAll('main *')) {
  if (!shown(e) || e.closest('svg') && e.tagName !== 'text') continue;
  const box = e.getBoundingClientRect();
  const frame = (e.closest('svg') ?? e.closest('.scroll'))?.getBoundingClientRect();
  const scrolls = e.closest('.scroll') && !e.matches('.scroll');
  if (e.tagName === 'text' && (box.left < frame.left - 3 || box.right > frame.right + 3)) {
    faults.push(`leaves its chart, ${name(e)}`);
  }
  if (!scrolls && box.right > innerWidth + 1) faults.push(`beyond the edge, ${name(e)}`);
  const hides = ['hidden', 'clip'].includes(getComputedStyle(e).overflowX);
  const listed = e.matches('td, th, dd, dt, li, p, h1, h2, h3, button, summary, figcaption, small');
  if (listed && hides && e.scrollWidth > e.clientWidth + 1) faults.push(`cut off, ${name(e)}`);
  if (e.tagName === 'text') {
    const scale = frame.width / e.ownerSVGElement.viewBox.baseVal.width;
    if (parseFloat(getComputedStyle(e).fontSize) * scale < 8.5) faults.push(`small, ${name(e)}`);
  }
}
"""
# colours are laid over each other on a canvas, which knows every notation
_PALE = """
const faults = [];
const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
const lay = layers => {
  canvas.globalAlpha = 1;
  canvas.fillStyle = '#fff';
  canvas.fillRect(0, 0, 1, 1);
  for (const [colour, alpha] of layers) {
    canvas.globalAlpha = alpha;
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
  }
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const luminance = rgb => {
  const [r, g, b] = rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92
    : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node; (node = walk.nextNode());) {
  const e = node.parentElement;
  if (!node.data.trim() || !shown(e) || e.closest('script, style, option, :disabled')) continue;
  const style = getComputedStyle(e);
  const below = [], box = e.getBoundingClientRect();
  let opacity = 1;
  for (let one = e; one; one = one.parentElement) {
    const s = getComputedStyle(one);
    opacity *= +s.opacity;
    if (!one.closest('svg')) below.unshift([s.backgroundColor, 1]);
  }
  const svg = e.closest('svg');
  if (svg) {
    const x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
    for (const rect of svg.querySelectorAll('rect')) {
      const r = rect.getBoundingClientRect(), s = getComputedStyle(rect);
      if (r.left < x && x < r.right && r.top < y && y < r.bottom) {
        below.push([s.fill, s.fillOpacity]);
      }
    }
  }
  const a = luminance(lay(below));
  const b = luminance(lay([...below, [svg ? style.fill : style.color, opacity]]));
  const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (contrast < 4.5) faults.push(`${contrast.toFixed(2)}, ${name(e)}`);
}
"""
_HEADINGS = """
const faults = [];
const levels = [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => +h.tagName[1]);
const first = levels.filter(level => level === 1).length;
if (first !== 1) faults.push(`h1: ${first}`);
for (let k = 1; k < levels.length; k++) {
  if (levels[k] > levels[k - 1] + 1) faults.push(`h${levels[k]} after h${levels[k - 1]}`);
}
"""
_CHARTS = """
const faults = [];
for (const svg of document.querySelectorAll('svg')) {
  const label = svg.getAttribute('aria-label') || svg.querySelector('title')?.textContent;
  if (!label) faults.push(`no label, ${name(svg)}`);
  const target = svg.closest('figure')?.querySelector('a[href^="#"]')?.getAttribute('href');
  const linked = target && document.querySelector(`${target} table`);
  if (!linked && !svg.closest('section')?.querySelector('table')) faults.push(`no table, ${label}`);
}
for (const canvas of document.querySelectorAll('main figure > canvas')) {
  if (!canvas.getAttribute('aria-label')) faults.push('a canvas without a label');
}
"""
# what can be clicked or scrolled, and is not disabled
_REACHABLE = """
const all = document.querySelectorAll('a[href], button, summary, input, select, textarea, '
  + 'figure > canvas, .scroll, [onclick]');
window.reachable = [...all].filter(e => shown(e) && !e.disabled);
window.seen = new Map();
document.activeElement.blur();
const faults = reachable.length;
"""
_FOCUSED = """
const faults = [];
const e = document.activeElement;
if (reachable.includes(e)) {
  const s = getComputedStyle(e);
  seen.set(e, s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0);
}
"""
_MISSED = """
const faults = [];
for (const e of reachable) {
  if (!seen.has(e)) faults.push(`not reached, ${name(e)}`);
  else if (!seen.get(e)) faults.push(`no focus is seen, ${name(e)}`);
}
"""


def clipped(tab: Tab) -> list[str]:
    """What is cut off, leaves its chart or the page, or is too small to be read."""
    return _asked(tab, _CLIPPED)


def pale(tab: Tab) -> list[str]:
    """Text whose contrast with what lies below it is under 4.5 to 1."""
    return _asked(tab, _PALE)


def misplaced_headings(tab: Tab) -> list[str]:
    """Not exactly one heading of the first level, or a level that is skipped."""
    return _asked(tab, _HEADINGS)


def unread_charts(tab: Tab) -> list[str]:
    """Charts without a label, or without a table in their section or behind a link."""
    return _asked(tab, _CHARTS)


def unreachable(tab: Tab) -> list[str]:
    """What the tab key does not reach, and where the focus is not seen."""
    count: int = tab.evaluate(_script(_REACHABLE))
    # the window itself, and elements that the browser adds such as scrollers, take a key as well
    for _ in range(count + 10):
        tab.press("Tab")
        tab.evaluate(_script(_FOCUSED))
    return _asked(tab, _MISSED)


def _asked(tab: Tab, script: str) -> list[str]:
    faults: list[str] = tab.evaluate(_script(script))
    return faults


def _script(body: str) -> str:
    return f"(() => {{ {_SHOWN} {body} return faults; }})()"
