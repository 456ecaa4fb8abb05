// The API's shapes of sessions, as far as the studio shows them.

export interface Session {
  id: string;
  name: string;
  status: string;
  message: string;
  created_ns: number;
  ended_ns: number;
  exit_code: number | null;
  created_by: string;
  shell: string;
  columns: number;
  rows: number;
  last_byte_ns: number;
  driver: string | null;
  viewers: string[];
  foreground: { command: string; since_ns: number } | null;
  cwd: string;
  output_bytes: number;
  kept_bytes: number;
  quota_bytes: number;
  idle_s: number;
  entered: string;
  is_answered: boolean;
}

export interface Command {
  number: number;
  command: string;
  cwd: string;
  start_ns: number;
  end_ns: number;
  exit_code: number | null;
  at: number;
  end: number;
  prompt: number;
}

export interface TranscriptPage {
  first: number;
  end: number;
  from: number;
  next: number;
  text: string;
}

// How an end is told: "exit code 0", "SIGKILL".
const SIGNALS: Record<number, string> = {
  1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM",
};

export function endText(code: number | null, signal: number | null, status = ""): string {
  if (status === "Canceled") return "was closed";
  if (signal) return `ended by ${SIGNALS[signal] ?? `signal ${signal}`}`;
  return code === null ? "ended" : `ended with exit code ${code}`;
}
