// Draws streams with xterm.js and tells what came of them. One JSON line in, one out.
const { createRequire } = require('module');
const load = createRequire(process.argv[2] + '/');
const { Terminal } = load('@xterm/headless');
const { Unicode11Addon } = load('@xterm/addon-unicode11');

// Of a blank cell the foreground doesn't show, unless something is drawn in it.
function cellLook(c, isBlank) {
  const isDrawn = !isBlank || c.isInverse() || c.isUnderline() || c.isStrikethrough() || c.isOverline();
  const underline = c.isUnderline() ? [c.extended ? c.extended.underlineStyle : 1] : [];
  return [
    c.isFgDefault() || !isDrawn ? 'd' : c.isFgRGB() ? 'r' + c.getFgColor() : 'p' + c.getFgColor(),
    c.isBgDefault() ? 'd' : c.isBgRGB() ? 'r' + c.getBgColor() : 'p' + c.getBgColor(),
    (c.isBold() ? 'b' : '') + (c.isDim() ? 'f' : '') + (c.isItalic() ? 'i' : '') + (c.isBlink() ? 'l' : '') +
    (c.isInverse() ? 'v' : '') + (c.isInvisible() ? 'h' : '') + (c.isStrikethrough() ? 's' : '') + (c.isOverline() ? 'o' : '') +
    underline.join('')
  ].join(',');
}
function lines(term, buffer, from, links) {
  const out = [];
  const inner = buffer.lines;
  const cell = term.buffer.active.getNullCell();
  for (let y = from; y < inner.length; y++) {
    const line = inner.get(y);
    const row = [];
    for (let x = 0; x < term.cols; x++) {
      if (x >= line.length) break;
      line.loadCell(x, cell);
      let link = '';
      const id = cell.extended && cell.extended.urlId;
      if (id) { const d = links.getLinkData(id); link = d ? d.uri : ''; }
      row.push([cell.getChars() || ' ', cell.getWidth(), cellLook(cell, !cell.getChars().trim()), link]);
    }
    out.push({ row, wrapped: line.isWrapped });
  }
  return out;
}
function tell(term, seen) {
  const core = term._core;
  const buffers = core._bufferService.buffers;
  const active = buffers.active;
  const modes = core.coreService.decPrivateModes;
  const input = core._inputHandler;
  const pen = input._curAttrData;
  return {
    size: [term.cols, term.rows],
    alternate: active === buffers.alt,
    cursor: [active.x, active.y],
    saved: [active.savedX, active.savedY - active.ybase],
    pen: cellLook(pen, false),
    margins: [active.scrollTop, active.scrollBottom],
    tabs: Object.keys(active.tabs).map(Number).filter(n => n < term.cols && active.tabs[n]),
    hidden: core.coreService.isCursorHidden,
    insert: core.coreService.modes.insertMode,
    modes: Object.assign({}, modes),
    eol: core.optionsService.options.convertEol, blink: core.optionsService.options.cursorBlink,
    mouse: [core.coreMouseService.activeProtocol, core.coreMouseService.activeEncoding],
    glevel: core._charsetService ? core._charsetService.glevel : input._charsetService.glevel,
    charset: !!input._charsetService.charset,
    title: seen.title, answers: seen.answers.length, colours: seen.colours,
    screen: lines(term, active, active.ybase, core._oscLinkService || input._oscLinkService),
    history: active === buffers.normal ? lines(term, active, 0, input._oscLinkService).slice(0, active.ybase) : [],
    primary: active === buffers.alt ? lines(term, buffers.normal, buffers.normal.ybase, input._oscLinkService) : [],
  };
}
async function draw(job) {
  const term = new Terminal({ cols: job.columns, rows: job.rows, scrollback: job.scrollback || 5000, allowProposedApi: true });
  term.loadAddon(new Unicode11Addon());
  term.unicode.activeVersion = '11';
  const seen = { title: '', answers: [], colours: [] };
  term.onTitleChange(t => { seen.title = t; });
  term.onData(d => seen.answers.push(d));
  term._core._inputHandler.onColor(e => { for (const c of e) seen.colours.push(JSON.stringify(c)); });
  const told = [];
  for (const step of job.steps) {
    if (step.size) term.resize(step.size[0], step.size[1]);
    else if (step.tell) told.push(tell(term, seen));
    else await new Promise(done => term.write(Buffer.from(step.data, 'base64'), done));
  }
  term.dispose();
  return told;
}
(async () => {
  const lines = require('readline').createInterface({ input: process.stdin });
  for await (const line of lines) {
    let answer;
    try { answer = { told: await draw(JSON.parse(line)) }; } catch (error) { answer = { error: String(error.stack) }; }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
})();
