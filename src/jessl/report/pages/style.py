"""The look of the page: one style sheet, light and dark, wide and narrow."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fcfcfa; --card: #ffffff; --ink: #1d2127; --soft: #565e69; --faint: #7b838e;
  --rule: #e9e9e4; --base: #c9cbc6; --band: #eef3ee; --edge: #e4e4de; --link: #0a5a8f;
  --m0: #0b6cb0; --m1: #c8500a; --m2: #00795a; --m3: #a8478a;
  --m4: #8a6500; --m5: #4b4fb5; --m6: #3f7f93; --m7: #6b6b6b;
  --r0: #86cfa5; --r1: #5dbfa8; --r2: #3aaeaf; --r3: #2c99b4;
  --r4: #3282b1; --r5: #4069a6; --r6: #494f94; --r7: #46347a;
  --k0: #8d99a8; --k1: #2b9c8f; --k2: #e3b34f; --k3: #9a5a90;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --card: #1a1e23; --ink: #e7e9ea; --soft: #adb4bd; --faint: #8b939d;
    --rule: #272c32; --base: #444b54; --band: #202b2a; --edge: #2a2f36; --link: #7fc1ee;
    --m0: #5fb0ea; --m1: #f2894a; --m2: #3fc39a; --m3: #e08cc4;
    --m4: #d8b24a; --m5: #9c9ff2; --m6: #7fc0d3; --m7: #a9a9a9;
    --r0: #6a62c4; --r1: #5a7bd0; --r2: #4a95cc; --r3: #45adc2;
    --r4: #55c2ad; --r5: #7fd398; --r6: #b2e08a; --r7: #e6ec92;
    --k0: #7f8b9a; --k1: #35ab9d; --k2: #d9a945; --k3: #b273a7;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 960px; margin: 0 auto; padding: 72px 40px 120px; }
.kicker { color: var(--faint); font-size: 14px; letter-spacing: .02em; margin: 0 0 8px; }
h1 { font-size: 38px; line-height: 1.18; letter-spacing: -.018em; font-weight: 650;
  margin: 0 0 28px; text-wrap: balance; overflow-wrap: anywhere; }
h2 { font-size: 23px; line-height: 1.3; letter-spacing: -.01em; font-weight: 650;
  margin: 0 0 8px; }
h3 { font-size: 15px; font-weight: 650; margin: 32px 0 4px; }
p { margin: 0 0 14px; max-width: 68ch; }
section { margin-top: 80px; scroll-margin-top: 24px; }
.findings { list-style: none; margin: 0; padding: 0; }
.findings li { font-size: 19px; line-height: 1.5; max-width: 62ch; color: var(--soft);
  margin: 0 0 12px; overflow-wrap: anywhere; }
.findings li:first-child { font-size: 22px; line-height: 1.42; color: var(--ink); }
nav { margin: 36px 0 0; padding: 14px 0 0; border-top: 1px solid var(--edge); font-size: 14px;
  display: flex; flex-wrap: wrap; gap: 4px 22px; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
.lead { color: var(--soft); }
.notes { color: var(--soft); font-size: 14px; line-height: 1.55; margin: 18px 0 0;
  padding-left: 18px; max-width: 74ch; overflow-wrap: anywhere; }
.folds { margin-top: 18px; } .folds details { margin-top: 6px; }
figure { margin: 20px 0 0; }
figcaption { color: var(--soft); font-size: 14px; line-height: 1.55; margin-top: 14px;
  max-width: 74ch; }
.number, .tick, td, .big, dd { font-variant-numeric: tabular-nums; }

.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr));
  gap: 20px; margin-top: 40px; }
.cards.small { grid-template-columns: repeat(auto-fit, minmax(min(100%, 250px), 1fr)); }
.card { background: var(--card); border: 1px solid var(--edge); border-radius: 12px;
  padding: 22px 24px 20px; min-width: 0; }
.card h3 { margin: 0; overflow-wrap: anywhere; }
.card .big { font-size: 32px; line-height: 1.25; font-weight: 650; letter-spacing: -.015em;
  margin: 4px 0 12px; overflow-wrap: anywhere; }
.card .say { font-size: 14px; color: var(--soft); margin: 14px 0 0; overflow-wrap: anywhere; }
.pairs { display: grid; grid-template-columns: 1fr auto; gap: 3px 16px; margin: 0;
  font-size: 14px; }
.pairs dt { color: var(--soft); } .pairs dd { margin: 0; text-align: right; }

.figure { display: block; width: 100%; height: auto; overflow: visible; }
.slim { display: none; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr));
  gap: 34px 36px; margin-top: 14px; }
.panels .panel { max-width: 520px; }
svg text { fill: var(--soft); font-size: 12.5px; }
svg .strong { font-weight: 650; fill: var(--ink); font-size: 13.5px; }
svg .tick { fill: var(--faint); font-size: 11.5px; } svg .axis { font-size: 12px; }
svg .small { font-size: 11px; } svg .number { fill: var(--ink); }
svg .mid { text-anchor: middle; } svg .end { text-anchor: end; }
svg .over { paint-order: stroke; stroke: var(--page); stroke-width: 4px; }
svg .band { fill: var(--band); }
svg .rule { stroke: var(--rule); } svg .base, svg .zero { stroke: var(--base); }
svg .zero { stroke: var(--soft); } svg .leader { stroke: var(--base); }
svg .dash { stroke: var(--faint); stroke-dasharray: 2 4; }
svg .halo { fill: none; stroke: var(--ink); stroke-width: 1.5; }
.m0 { --c: var(--m0); } .m1 { --c: var(--m1); } .m2 { --c: var(--m2); } .m3 { --c: var(--m3); }
.m4 { --c: var(--m4); } .m5 { --c: var(--m5); } .m6 { --c: var(--m6); } .m7 { --c: var(--m7); }
.r0 { --c: var(--r0); } .r1 { --c: var(--r1); } .r2 { --c: var(--r2); } .r3 { --c: var(--r3); }
.r4 { --c: var(--r4); } .r5 { --c: var(--r5); } .r6 { --c: var(--r6); } .r7 { --c: var(--r7); }
.k0 { --c: var(--k0); } .k1 { --c: var(--k1); } .k2 { --c: var(--k2); } .k3 { --c: var(--k3); }
svg .fill { fill: var(--c); } svg .ink { fill: var(--c); }
svg .edge { stroke: var(--c); fill: none; }
svg .line { stroke-width: 1.7; stroke-linejoin: round; stroke-linecap: round; }
svg .grab { stroke: transparent; stroke-width: 12; fill: none; }
svg .bar { stroke-width: 2.5; stroke-linecap: round; opacity: .45; }
svg .whisker { stroke-width: 1; opacity: .4; }
svg .ring { fill: var(--page); stroke: var(--c); stroke-width: 1.2; }
svg .ring.picked { fill: var(--ink); stroke: var(--ink); }
svg .interval { stroke: var(--ink); stroke-width: 1; opacity: .75; }
svg .total { stroke: var(--ink); stroke-width: 1.5; }
svg .diamond { fill: var(--ink); stroke: var(--page); stroke-width: 1.5; }
svg .part { stroke: var(--page); stroke-width: 1; }
svg circle.fill, svg rect.m0, svg polygon.fill { stroke: var(--page); stroke-width: .8; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 24px; margin: 16px 0 14px;
  padding: 0; font-size: 14px; color: var(--soft); font-variant-numeric: tabular-nums; }
.legend b { color: var(--ink); font-weight: 600; overflow-wrap: anywhere; }
.dot { display: inline-block; width: 11px; height: 11px; border-radius: 50%;
  background: var(--c); margin-right: 7px; vertical-align: -1px; }
.dot.square { border-radius: 3px; }
.dot.hollow { background: none; border: 1.5px solid var(--ink); width: 13px; height: 13px; }
.shape { color: var(--ink); margin-right: 4px; font-size: 12px; }
.focus [data-run] { opacity: .16; } .focus .now { opacity: 1; }
.focus tbody tr[data-run] { opacity: .45; } .focus tbody tr.now { opacity: 1; }
#tip { position: fixed; z-index: 9; pointer-events: none; background: var(--ink);
  color: var(--page); font-size: 13px; line-height: 1.4; padding: 5px 10px; border-radius: 7px;
  max-width: min(340px, 86vw); overflow-wrap: anywhere; font-variant-numeric: tabular-nums;
  visibility: hidden; }

.picture { display: block; max-width: 100%; height: auto; border-radius: 8px;
  border: 1px solid var(--edge); }
.picture.tiny { image-rendering: pixelated; }
.scroll { overflow-x: auto; margin: 16px 0 0; }
table { border-collapse: collapse; font-size: 13.5px; line-height: 1.35; }
th, td { text-align: right; padding: 7px 14px; white-space: nowrap; vertical-align: top; }
th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--base);
  vertical-align: bottom; }
th button { all: unset; cursor: pointer; white-space: normal; }
th button:hover, th button:focus-visible { color: var(--ink); text-decoration: underline; }
td { border-bottom: 1px solid var(--rule); }
td small { display: block; color: var(--faint); font-size: 11.5px; }
td:first-child, th:first-child, td.word, th.word { text-align: left; }
td:first-child, th:first-child { padding-left: 0; }
td:first-child { max-width: 300px; overflow: hidden; text-overflow: ellipsis; }
@media (min-width: 701px) {
  td:first-child, th:first-child { position: sticky; left: 0; background: var(--page); }
}
tr.chosen td, tr.chosen td:first-child { background: var(--band); }
tr.chosen td:first-child { font-weight: 650; }
.facts { display: grid; grid-template-columns: 150px minmax(0, 1fr); gap: 8px 24px;
  margin: 20px 0 0; font-size: 15px; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; overflow-wrap: anywhere; max-width: 72ch; }
.facts dd p { margin: 0 0 6px; }
code { font: 13.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
details h3 { margin: 26px 0 0; }
@media (min-width: 701px) { .settings td:first-child { min-width: 170px; } }
.settings td { padding-right: 8px; }
.settings td small { display: inline; margin-left: 10px; }
details { margin-top: 24px; font-size: 15px; } summary { cursor: pointer; color: var(--link); }
footer { margin-top: 80px; color: var(--faint); font-size: 13px; }

@media (max-width: 700px) {
  main { padding: 40px 20px 72px; }
  h1 { font-size: 29px; } section { margin-top: 60px; }
  .findings li { font-size: 17px; } .findings li:first-child { font-size: 19px; }
  .roomy { display: none; } .slim { display: block; }
  .facts { grid-template-columns: 1fr; gap: 2px; } .facts dd { margin-bottom: 10px; }
  .legend { gap: 2px 18px; }
}
@media print {
  main { max-width: none; padding: 0; } nav, #tip { display: none; }
  section { margin-top: 40px; } figure, .card { break-inside: avoid; }
}
"""
