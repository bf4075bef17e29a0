(() => {
  'use strict';
  const root = document.documentElement;
  const tip = document.getElementById('tip');
  const every = [...document.querySelectorAll('[data-run]')];

  const back = (scale, px) => {
    const [kind, low, high, start, end] = scale.split(' ').map((v, i) => i ? +v : v);
    const share = (px - start) / (end - start);
    return kind === 'log' ? low * (high / low) ** share : low + share * (high - low);
  };
  const format = v => {
    const size = Math.abs(v);
    return size && (size < 1e-3 || size >= 1e6) ? v.toExponential(2) : String(+v.toPrecision(4));
  };
  const showTip = (text, event) => {
    tip.textContent = text;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, root.clientWidth - box.width - 8);
    const above = event.clientY - box.height - 12;
    tip.style.left = Math.max(8, left) + 'px';
    tip.style.top = (above > 8 ? above : event.clientY + 18) + 'px';
    tip.style.visibility = 'visible';
  };
  const nearest = (series, event) => {
    const panel = series.closest('.panel');
    const svg = series.ownerSVGElement;
    const path = series.querySelector('.line');
    if (!panel || !path) return series.dataset.run;
    const box = svg.getBoundingClientRect();
    const at = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    let best = null;
    for (const pair of path.getAttribute('d').split(/[ML]/)) {
      const [x, y] = pair.trim().split(/\s+/).map(Number);
      if (pair.trim() && (!best || Math.abs(x - at) < Math.abs(best[0] - at))) best = [x, y];
    }
    const x = format(back(panel.dataset.x, best[0]));
    const y = format(back(panel.dataset.y, best[1]));
    return `${series.dataset.run}: ${y} at ${panel.dataset.of} ${x}`;
  };
  const focus = name => {
    root.classList.toggle('focus', name !== null);
    for (const mark of every) mark.classList.toggle('now', mark.dataset.run === name);
  };
  let current = null;
  document.addEventListener('pointermove', event => {
    const hot = event.target.closest?.('.hot, tbody tr[data-run]');
    const name = hot?.dataset.run ?? null;
    if (name !== current) focus(current = name);
    if (!hot || hot.tagName === 'TR') tip.style.visibility = 'hidden';
    else showTip(hot.dataset.tip ?? nearest(hot, event), event);
  });
  document.addEventListener('pointerleave', () => { focus(current = null); });
  document.addEventListener('scroll', () => { tip.style.visibility = 'hidden'; }, true);

  for (const button of document.querySelectorAll('th button')) {
    button.addEventListener('click', () => {
      const head = button.closest('th');
      const body = head.closest('table').tBodies[0];
      const key = row => row.cells[head.cellIndex].dataset.sort;
      const up = head.getAttribute('aria-sort') === 'descending';
      for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const rows = [...body.rows].sort((a, b) => {
        const [p, q] = [key(a), key(b)];
        // rows without a number stay last in both directions
        if (p === '' || q === '') return (p === '') - (q === '');
        const order = Number.isNaN(+p) || Number.isNaN(+q) ? p.localeCompare(q) : p - q;
        return up ? order : -order;
      });
      body.append(...rows);
    });
  }

  const basket = document.getElementById('basket');
  if (basket) {
    const boxes = [...document.querySelectorAll('.tile input')];
    const list = document.getElementById('names');
    const copy = document.getElementById('copy');
    const update = () => {
      // one image may stand in several galleries
      const names = [...new Set(boxes.filter(box => box.checked).map(box => box.value))];
      document.getElementById('ticked').textContent = names.length.toLocaleString('en');
      list.value = names.join('\n');
      copy.disabled = !names.length;
      copy.textContent = 'Copy names';
    };
    const done = good => { copy.textContent = good ? 'Copied' : 'Select and copy below'; };
    const byHand = () => {
      list.hidden = false;
      list.select();
      done(document.execCommand('copy'));
    };
    copy.addEventListener('click', () => {
      if (!navigator.clipboard) return byHand();
      navigator.clipboard.writeText(list.value).then(() => done(true), byHand);
    });
    const show = document.getElementById('show');
    show.addEventListener('click', () => {
      list.hidden = !list.hidden;
      show.textContent = list.hidden ? 'Show' : 'Hide';
      show.setAttribute('aria-expanded', String(!list.hidden));
    });
    document.addEventListener('change', event => {
      if (event.target.closest?.('.tile')) update();
    });
    for (const button of document.querySelectorAll('[data-pick]')) {
      button.addEventListener('click', () => {
        for (const box of button.closest('.gallery').querySelectorAll('input')) {
          box.checked = button.dataset.pick === 'all';
        }
        update();
      });
    }
    update();
  }
  root.dataset.script = 'runs';
})();
