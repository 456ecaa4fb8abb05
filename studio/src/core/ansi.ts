// What a line of output shows: text with colours, and nothing that acts.
//
// Of all control sequences only SGR (colours, bold, …) means something in a log; everything else,
// C0 and C1 characters included, is left out. Characters that reorder text are shown by their number.

export interface Style {
  fg: number | string | null; // 0-15 of the theme, or "rgb(…)"
  bg: number | string | null;
  isBold: boolean;
  isDim: boolean;
  isItalic: boolean;
  isUnderlined: boolean;
  isInverse: boolean;
}

export interface Span {
  text: string;
  style: Style;
}

const PLAIN: Style = {
  fg: null,
  bg: null,
  isBold: false,
  isDim: false,
  isItalic: false,
  isUnderlined: false,
  isInverse: false,
};

// CSI … final; OSC, DCS, SOS, PM, APC up to their end; ESC with intermediates; C1 as one character.
const SEQUENCE =
  /(?:\x1b\[|\x9b)([0-?]*)([ -/]*)([@-~])|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;
const REORDERING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

export function spans(line: string): Span[] {
  const found: Span[] = [];
  let style = PLAIN;
  let from = 0;
  const add = (text: string): void => {
    if (text !== "") found.push({ text: harmless(text), style });
  };
  for (const match of line.matchAll(SEQUENCE)) {
    add(line.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[3] === "m" && match[2] === "") style = styled(style, match[1] ?? "");
  }
  add(line.slice(from));
  return found;
}

// The text alone, as search sees it.
export function plain(line: string): string {
  return harmless(line.replace(SEQUENCE, ""));
}

function harmless(text: string): string {
  return text.replace(REORDERING, (c) => `<U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}>`);
}

function styled(before: Style, params: string): Style {
  const style = { ...before };
  const codes = params.split(/[;:]/).map((p) => (p === "" ? 0 : Number(p)));
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i] ?? 0;
    if (code === 38 || code === 48) {
      const [colour, used] = extended(codes.slice(i + 1));
      if (code === 38) style.fg = colour;
      else style.bg = colour;
      i += used;
    } else apply(style, code);
  }
  return style;
}

function apply(style: Style, code: number): void {
  if (code === 0) Object.assign(style, PLAIN);
  else if (code === 1) style.isBold = true;
  else if (code === 2) style.isDim = true;
  else if (code === 3) style.isItalic = true;
  else if (code === 4) style.isUnderlined = true;
  else if (code === 7) style.isInverse = true;
  else if (code === 22) style.isBold = style.isDim = false;
  else if (code === 23) style.isItalic = false;
  else if (code === 24) style.isUnderlined = false;
  else if (code === 27) style.isInverse = false;
  else if (code >= 30 && code <= 37) style.fg = code - 30;
  else if (code === 39) style.fg = null;
  else if (code >= 40 && code <= 47) style.bg = code - 40;
  else if (code === 49) style.bg = null;
  else if (code >= 90 && code <= 97) style.fg = code - 82;
  else if (code >= 100 && code <= 107) style.bg = code - 92;
}

const LEVELS = [0, 95, 135, 175, 215, 255];

// After 38 or 48: 5;n or 2;r;g;b. Returns the colour and how many numbers were used.
function extended(rest: number[]): [number | string | null, number] {
  if (rest[0] === 5) {
    const n = Math.min(255, rest[1] ?? 0);
    if (n < 16) return [n, 2];
    if (n >= 232) return [rgb(8 + (n - 232) * 10, 8 + (n - 232) * 10, 8 + (n - 232) * 10), 2];
    const cube = n - 16;
    const level = (v: number): number => LEVELS[v % 6] ?? 0;
    return [rgb(level(Math.floor(cube / 36)), level(Math.floor(cube / 6)), level(cube)), 2];
  }
  if (rest[0] === 2) return [rgb(rest[1] ?? 0, rest[2] ?? 0, rest[3] ?? 0), 4];
  return [null, 0];
}

function rgb(...parts: number[]): string {
  return `rgb(${parts.map((p) => Math.max(0, Math.min(255, Math.trunc(p) || 0))).join(" ")})`;
}
