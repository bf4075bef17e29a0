(() => {
  'use strict';
  const STEPS = 65535, CELLS = 64, NEAR_PX = 14, TIP_PX = 96, CHANNELS = 8;
  const style = getComputedStyle(document.documentElement);
  const variable = name => style.getPropertyValue(name).trim();
  const number = v => !Number.isFinite(v) ? 'none'
    : String(+v.toPrecision(3));
  // a path is known by its end
  const short = text => text.length > 160 ? `${text.slice(0, 60)}…${text.slice(-99)}` : text;
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  // eight colours of the page, then paler hues that are far apart
  const classColour = k => k < CHANNELS ? variable('--m' + k)
    : `hsl(${(k * 137.5) % 360} 60% ${dark.matches ? 45 : 62}%)`;

  class EmbeddingMap {
    constructor(figure) {
      const held = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
      this.figure = figure;
      this.part = role => figure.querySelector(`[data-role="${role}"]`);
      this.canvas = figure.querySelector('canvas');
      this.context = this.canvas.getContext('2d');
      this.names = held.names;
      this.n = held.names.length;
      this.layouts = held.layouts.map(one => new Uint16Array(bytes(one.xy)));
      this.abouts = held.layouts.map(one => one.about);
      this.colours = held.colours.map(one => one.values
        ? { ...one, values: new Float32Array(bytes(one.values)) }
        : { ...one, codes: new Int32Array(bytes(one.codes)) });
      this.pictures = held.thumbnails;
      this.sheets = (held.thumbnails?.sheets ?? []).map(source => {
        const image = new Image();
        image.src = source;
        return image;
      });
      this.selected = new Uint8Array(this.n);
      this.matches = null;
      this.off = new Set();
      this.hot = -1;
      this.lassoing = false;
      this.tip = this.makeTip();
      this.choose(0);
      this.reset();
      this.colourBy(0);
      this.listen();
      this.ready = true;
      this.resize();
      new ResizeObserver(() => this.resize()).observe(this.canvas);
      figure.dataset.points = this.n;
    }

    makeTip() {
      const tip = document.createElement('div');
      tip.className = 'map-tip';
      tip.setAttribute('role', 'status');
      if (this.pictures) {
        this.thumb = document.createElement('canvas');
        this.thumb.width = this.thumb.height = TIP_PX;
        tip.append(this.thumb);
      }
      this.words = document.createElement('div');
      tip.append(this.words);
      this.figure.append(tip);
      return tip;
    }

    // points of each cell of a grid, one after another
    choose(k) {
      this.xy = this.layouts[k];
      this.part('about').textContent = this.abouts[k];
      const counts = new Uint32Array(CELLS * CELLS + 1);
      const cell = i => Math.min(CELLS - 1, this.xy[2 * i] * CELLS / STEPS | 0)
        + CELLS * Math.min(CELLS - 1, this.xy[2 * i + 1] * CELLS / STEPS | 0);
      for (let i = 0; i < this.n; i++) counts[cell(i) + 1]++;
      for (let c = 0; c < CELLS * CELLS; c++) counts[c + 1] += counts[c];
      this.start = counts.slice();
      this.inCell = new Uint32Array(this.n);
      for (let i = 0; i < this.n; i++) this.inCell[counts[cell(i)]++] = i;
    }

    reset() {
      this.zoom = 1;
      this.centre = [STEPS / 2, STEPS / 2];
      this.moved();
    }

    moved() {
      // at its first size the map leaves vertical swipes to the page
      this.canvas.style.touchAction = this.zoom > 1 || this.lassoing ? 'none' : 'pan-y';
      this.hide();
      this.redraw();
    }

    resize() {
      const box = this.canvas.getBoundingClientRect();
      this.ratio = devicePixelRatio || 1;
      this.canvas.width = Math.round(box.width * this.ratio);
      this.canvas.height = Math.round(box.height * this.ratio);
      this.draw();
    }

    get scale() {
      return this.zoom * Math.min(this.canvas.width, this.canvas.height) * .94 / STEPS;
    }

    toScreen(x, y) {
      return [this.canvas.width / 2 + (x - this.centre[0]) * this.scale,
        this.canvas.height / 2 - (y - this.centre[1]) * this.scale];
    }

    toPlane(x, y) {
      return [(x - this.canvas.width / 2) / this.scale + this.centre[0],
        (this.canvas.height / 2 - y) / this.scale + this.centre[1]];
    }

    colourBy(k) {
      this.colour = this.colours[k] ?? null;
      this.off.clear();
      this.paint();
      this.legend();
    }

    // the bucket of each point, and the colours of buckets; bucket 0 has no colour
    paint() {
      const { n, colour } = this;
      this.bucket = new Uint8Array(n);
      this.inks = [variable('--base')];
      if (!colour) {
        this.inks[0] = variable('--m0');
      } else if (colour.codes) {
        const repeat = colour.many ? CHANNELS : Infinity;
        const count = Math.min(colour.classes.length, repeat);
        for (let c = 0; c < count; c++) this.inks.push(classColour(c));
        for (let i = 0; i < n; i++) {
          const code = colour.codes[i];
          this.bucket[i] = code < 0 ? 0 : 1 + (colour.many ? code % CHANNELS : code);
        }
      } else {
        for (let c = 0; c < CHANNELS; c++) this.inks.push(variable('--r' + c));
        const range = colour.high - colour.low || 1;
        for (let i = 0; i < n; i++) {
          const share = (colour.values[i] - colour.low) / range;
          this.bucket[i] = Number.isNaN(share) ? 0 : 1 + Math.min(CHANNELS - 1, share * CHANNELS | 0);
        }
      }
      this.redraw();
    }

    legend() {
      const list = this.part('legend');
      list.replaceChildren();
      const item = (ink, text, code) => {
        const entry = document.createElement('li');
        const dot = document.createElement('i');
        dot.className = 'dot';
        dot.style.background = ink;
        entry.append(dot);
        if (code === undefined) entry.append(text);
        else {
          const button = document.createElement('button');
          button.type = 'button';
          button.textContent = short(text);
          button.setAttribute('aria-pressed', String(!this.off.has(code)));
          button.addEventListener('click', () => {
            this.off.has(code) ? this.off.delete(code) : this.off.add(code);
            button.setAttribute('aria-pressed', String(!this.off.has(code)));
            this.redraw();
          });
          entry.append(button);
        }
        list.append(entry);
      };
      const { colour, inks } = this;
      if (!colour) return;
      if (colour.values) {
        item(inks[1], number(colour.low));
        item(inks[CHANNELS], number(colour.high));
      } else if (colour.many) {
        item(inks[1], `${colour.classes.length.toLocaleString('en')} groups; colours repeat`);
      } else {
        colour.classes.forEach((name, code) => item(inks[code + 1], name, code + 1));
      }
      if (this.bucket.includes(0)) item(inks[0], 'none');
    }

    shows(i) {
      return !this.off.has(this.bucket[i]);
    }

    redraw() {
      if (this.frame || !this.ready) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    }

    draw() {
      const { context, canvas, n, xy, ratio, scale, centre, selected, matches } = this;
      if (!canvas.width || !ratio) return;
      context.clearRect(0, 0, canvas.width, canvas.height);
      const few = n <= 3000;
      const radius = ratio * Math.min(6, (few ? 3 : n <= 8000 ? 2 : 1.4) * this.zoom ** .35);
      const left = canvas.width / 2 - centre[0] * scale, top = canvas.height / 2 + centre[1] * scale;
      const fade = matches !== null;
      for (let b = 0; b < this.inks.length; b++) {
        if (this.off.has(b)) continue;
        context.fillStyle = this.inks[b];
        context.globalAlpha = fade ? .15 : b || !this.colour ? .85 : .6;
        context.beginPath();
        for (let i = 0; i < n; i++) {
          if (this.bucket[i] !== b) continue;
          const x = left + xy[2 * i] * scale, y = top - xy[2 * i + 1] * scale;
          if (x < -radius || y < -radius || x > canvas.width + radius || y > canvas.height + radius) {
            continue;
          }
          if (few) {
            context.moveTo(x + radius, y);
            context.arc(x, y, radius, 0, 7);
          } else context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
        }
        if (few) context.fill();
      }
      context.globalAlpha = 1;
      const ring = (chosen, ink) => {
        context.strokeStyle = ink;
        context.lineWidth = 1.5 * ratio;
        context.beginPath();
        for (let i = 0; i < n; i++) {
          if (!chosen(i) || !this.shows(i)) continue;
          const x = left + xy[2 * i] * scale, y = top - xy[2 * i + 1] * scale;
          context.moveTo(x + radius + 2 * ratio, y);
          context.arc(x, y, radius + 2 * ratio, 0, 7);
        }
        context.stroke();
      };
      if (matches) ring(i => matches[i], variable('--link'));
      if (this.count) ring(i => selected[i], variable('--ink'));
      if (this.hot >= 0) ring(i => i === this.hot, variable('--ink'));
      if (this.path?.length > 1) {
        context.strokeStyle = variable('--link');
        context.fillStyle = variable('--link');
        context.lineWidth = 1.5 * ratio;
        context.beginPath();
        this.path.forEach(([x, y]) => context.lineTo(x, y));
        context.closePath();
        context.stroke();
        context.globalAlpha = .08;
        context.fill();
        context.globalAlpha = 1;
      }
    }

    at(event) {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio];
    }

    nearest(x, y) {
      const reach = NEAR_PX * this.ratio / this.scale;
      const [u, v] = this.toPlane(x, y);
      const cell = w => Math.max(0, Math.min(CELLS - 1, w * CELLS / STEPS | 0));
      let best = -1, least = reach * reach;
      for (let row = cell(v - reach); row <= cell(v + reach); row++) {
        for (let column = cell(u - reach); column <= cell(u + reach); column++) {
          const c = column + CELLS * row;
          for (let k = this.start[c]; k < this.start[c + 1]; k++) {
            const i = this.inCell[k];
            const d = (this.xy[2 * i] - u) ** 2 + (this.xy[2 * i + 1] - v) ** 2;
            if (d < least && this.shows(i)) [best, least] = [i, d];
          }
        }
      }
      return best;
    }

    hover(x, y) {
      const i = this.nearest(x, y);
      if (i === this.hot) return;
      this.hot = i;
      this.redraw();
      if (i < 0) return this.hide();
      if (this.thumb) {
        const { side, across } = this.pictures, per = across * across;
        const sheet = this.sheets[i / per | 0], k = i % per;
        const brush = this.thumb.getContext('2d');
        brush.imageSmoothingEnabled = false;
        brush.clearRect(0, 0, TIP_PX, TIP_PX);
        if (sheet?.complete && sheet.naturalWidth) {
          brush.drawImage(sheet, side * (k % across), side * (k / across | 0), side, side,
            0, 0, TIP_PX, TIP_PX);
        }
      }
      const lines = [this.names[i]];
      for (const colour of this.colours) {
        if (colour.values) lines.push(`${colour.name}: ${number(colour.values[i])}`);
        else if (colour.codes[i] >= 0) lines.push(`${colour.name}: ${colour.classes[colour.codes[i]]}`);
      }
      this.words.replaceChildren(...lines.map((text, k) => {
        const line = document.createElement(k ? 'small' : 'b');
        line.textContent = short(text);
        return line;
      }));
      const [px, py] = this.toScreen(this.xy[2 * i], this.xy[2 * i + 1]);
      const { tip, canvas, ratio } = this;
      tip.style.visibility = 'visible';
      const width = canvas.clientWidth, box = tip.getBoundingClientRect();
      const left = px / ratio + 16 + box.width > width ? px / ratio - 16 - box.width : px / ratio + 16;
      tip.style.left = canvas.offsetLeft + Math.max(0, Math.min(left, width - box.width)) + 'px';
      tip.style.top = canvas.offsetTop
        + Math.max(0, Math.min(py / ratio - box.height / 2, canvas.clientHeight - box.height)) + 'px';
    }

    hide() {
      this.hot = -1;
      this.tip.style.visibility = 'hidden';
    }

    zoomAt(x, y, factor) {
      const [u, v] = this.toPlane(x, y);
      this.zoom = Math.max(.8, Math.min(200, this.zoom * factor));
      const [p, q] = this.toPlane(x, y);
      this.centre = [this.centre[0] + u - p, this.centre[1] + v - q];
      this.moved();
    }

    zoomMiddle(factor) {
      this.zoomAt(this.canvas.width / 2, this.canvas.height / 2, factor);
    }

    select(path) {
      const plane = path.map(([x, y]) => this.toPlane(x, y));
      for (let i = 0; i < this.n; i++) {
        if (!this.shows(i)) continue;
        const x = this.xy[2 * i], y = this.xy[2 * i + 1];
        let inside = false;
        for (let a = 0, b = plane.length - 1; a < plane.length; b = a++) {
          const [px, py] = plane[a], [qx, qy] = plane[b];
          if (py > y !== qy > y && x < (qx - px) * (y - py) / (qy - py) + px) inside = !inside;
        }
        if (inside) this.selected[i] = 1;
      }
      this.list();
    }

    list() {
      const names = this.names.filter((_, i) => this.selected[i]);
      this.count = names.length;
      this.figure.querySelector('.selection').hidden = !names.length;
      this.part('count').textContent = names.length.toLocaleString('en');
      this.part('names').value = names.join('\n');
      this.part('copy').textContent = 'Copy names';
      this.redraw();
    }

    clear() {
      this.selected.fill(0);
      this.list();
    }

    lasso(on) {
      this.lassoing = on;
      this.part('lasso').setAttribute('aria-pressed', String(on));
      this.moved();
    }

    listen() {
      const { canvas } = this;
      const pressed = new Map();
      let from = null;
      const pinch = () => {
        const [[a, b], [c, d]] = pressed.values();
        return [(a + c) / 2, (b + d) / 2, Math.max(1, Math.hypot(a - c, b - d))];
      };
      canvas.addEventListener('pointerdown', event => {
        if (event.button) return;
        canvas.setPointerCapture?.(event.pointerId);
        const [x, y] = this.at(event);
        pressed.set(event.pointerId, [x, y]);
        if (pressed.size > 1) this.path = from = null;
        else if (this.lassoing || event.shiftKey) this.path = [[x, y]];
        else from = [x, y];
      });
      canvas.addEventListener('pointermove', event => {
        const [x, y] = this.at(event);
        const held = pressed.has(event.pointerId);
        if (held && pressed.size === 2) {
          const [u, v, before] = pinch();
          pressed.set(event.pointerId, [x, y]);
          const [p, q, after] = pinch();
          this.centre = [this.centre[0] - (p - u) / this.scale,
            this.centre[1] + (q - v) / this.scale];
          this.zoomAt(p, q, after / before);
        } else if (this.path) {
          this.path.push([x, y]);
          this.redraw();
        } else if (from) {
          this.centre = [this.centre[0] - (x - from[0]) / this.scale,
            this.centre[1] + (y - from[1]) / this.scale];
          from = [x, y];
          this.moved();
        } else if (!held) this.hover(x, y);
      });
      const end = event => {
        pressed.delete(event.pointerId);
        const one = this.path || from;
        if (this.path?.length > 2) this.select(this.path);
        this.path = null;
        from = null;
        this.redraw();
        if (one && event.type === 'pointerup') this.hover(...this.at(event));
      };
      canvas.addEventListener('pointerup', end);
      canvas.addEventListener('pointercancel', end);
      canvas.addEventListener('pointerleave', event => {
        // a finger that is lifted leaves, and its tap is to be read
        if (this.hot < 0 || event.pointerType === 'touch') return;
        this.hide();
        this.redraw();
      });
      canvas.addEventListener('wheel', event => {
        if (!event.ctrlKey && document.activeElement !== canvas) return;
        event.preventDefault();
        this.zoomAt(...this.at(event), Math.exp(-event.deltaY / 300));
      }, { passive: false });
      canvas.addEventListener('keydown', event => {
        // those of the browser: its own zoom, back and forward
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const step = STEPS / 12 / this.zoom;
        const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step],
          ArrowDown: [0, -step] }[event.key];
        if (move) {
          this.centre = [this.centre[0] + move[0], this.centre[1] + move[1]];
          this.moved();
        } else if (event.key === '+' || event.key === '=') this.zoomMiddle(1.4);
        else if (event.key === '-') this.zoomMiddle(1 / 1.4);
        else if (event.key === '0') this.reset();
        else if (event.key === 'Escape') this.clear();
        else if (event.key === 'Enter') this.hover(canvas.width / 2, canvas.height / 2);
        else return;
        event.preventDefault();
      });
      this.part('colour').addEventListener('change', event => {
        const index = event.target.selectedIndex;
        this.colourBy(index < this.colours.length ? index : -1);
      });
      this.part('layout')?.addEventListener('change', event => {
        this.choose(event.target.selectedIndex);
        this.reset();
      });
      this.part('find').addEventListener('input', event => {
        const text = event.target.value.trim().toLowerCase();
        this.matches = text
          ? Uint8Array.from(this.names, name => +name.toLowerCase().includes(text)) : null;
        this.redraw();
      });
      this.part('lasso').addEventListener('click', () => this.lasso(!this.lassoing));
      this.part('in').addEventListener('click', () => this.zoomMiddle(1.4));
      this.part('out').addEventListener('click', () => this.zoomMiddle(1 / 1.4));
      this.part('reset').addEventListener('click', () => this.reset());
      this.part('clear').addEventListener('click', () => this.clear());
      this.part('copy').addEventListener('click', () => {
        const list = this.part('names');
        const done = good => {
          this.part('copy').textContent = good ? 'Copied' : 'Select and copy below';
        };
        const byHand = () => {
          list.select();
          done(document.execCommand('copy'));
        };
        if (!navigator.clipboard) return byHand();
        navigator.clipboard.writeText(list.value).then(() => done(true), byHand);
      });
      dark.addEventListener('change', () => {
        this.paint();
        this.legend();
      });
    }
  }

  for (const figure of document.querySelectorAll('figure.map')) new EmbeddingMap(figure);
  document.documentElement.dataset.map = 'drawn';
})();
