// What keys send that a touch keyboard hasn't, and how pasted text is made harmless.

export type Extra = "Escape" | "Tab" | "Up" | "Down" | "Left" | "Right";

const PLAIN: Record<Extra, string> = {
  Escape: "\x1b",
  Tab: "\t",
  Up: "\x1b[A",
  Down: "\x1b[B",
  Right: "\x1b[C",
  Left: "\x1b[D",
};

// `isApplication`: the program asked for application cursor keys.
export function extraKey(key: Extra, isApplication: boolean): string {
  const text = PLAIN[key];
  return isApplication && text.length === 3 ? text.replace("[", "O") : text;
}

// What Ctrl and this character send; the character itself where there is no such control.
export function withControl(text: string): string {
  const code = text.toUpperCase().charCodeAt(0);
  if (text.length !== 1) return text;
  if (text === " ") return "\0";
  if (text === "?") return "\x7f";
  return code >= 64 && code <= 95 ? String.fromCharCode(code & 31) : text;
}

// Pasted text never holds control characters: an escape in it could end the bracket around it.
export function pasteable(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "");
}

// Several lines at once run as several commands, unless the program brackets what is pasted.
export function wantsConfirmation(text: string, isBracketed: boolean): boolean {
  const lines = text.replace(/\n+$/, "").split("\n").length;
  return isBracketed ? lines > 50 || text.length > 20_000 : lines > 1 || /\n$/.test(text);
}

// How many keys this input is, as its typist counts them: an arrow or a letter with an accent is
// one, however many bytes it sends. (The command line counts the same way, in cli/offline.py.)
const KEY = /\x1b\[[0-?]*[ -/]*[@-~]|\x1bO?[ -~]|[^\x80-\xbf]/g;

export function keysIn(input: Uint8Array): number {
  return String.fromCharCode(...input).match(KEY)?.length ?? 0;
}
