// Numbers, sizes and times as people read them. Times are milliseconds; the API's nanoseconds go
// through `ms` first, since they don't fit a double exactly.

export function ms(ns: number): number {
  return ns / 1e6;
}

export function duration(timeMs: number): string {
  if (timeMs < 0) return "0 s";
  if (timeMs < 1000) return `${Math.round(timeMs)} ms`;
  if (timeMs < 9950) return `${(timeMs / 1000).toFixed(1)} s`;
  const s = Math.round(timeMs / 1000);
  if (s < 60) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} m ${pad(s % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${pad(minutes % 60)} m`;
  return `${Math.floor(hours / 24)} d ${pad(hours % 24)} h`;
}

// In one unit: "just now", "40 s ago", "3 h ago".
export function age(timeMs: number): string {
  const s = Math.floor(timeMs / 1000);
  if (s < 2) return "just now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} m ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes;
  let unit = "B";
  for (const next of ["kB", "MB", "GB", "TB"]) {
    if (value < 999.5) break;
    value /= 1000;
    unit = next;
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

// A metric's value: six significant digits, and the API's words for what JSON lacks.
export function metric(value: number | string | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const plain = Number(value.toPrecision(6));
  return Math.abs(plain) >= 1e-4 && Math.abs(plain) < 1e9
    ? String(plain)
    : plain.toExponential().replace("e+", "e");
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

// Local time; the date only when it isn't today's.
export function clock(timeMs: number, nowMs: number): string {
  const at = new Date(timeMs);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return at.toDateString() === new Date(nowMs).toDateString() ? time : `${day(at)} ${time}`;
}

function day(at: Date): string {
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}

function pad(n: number): string {
  return String(n).padStart(2, "0");
}
