// The API's shapes, as far as the studio shows them. Field names are the server's.

export interface Row {
  id: string;
  name: string;
  experiment: string;
  kind: string;
  status: string;
  stage: string;
  cause: string;
  message: string;
  warnings: [string, string][];
  created_ns: number;
  queued_ns: number;
  started_ns: number;
  ended_ns: number;
  attempt: number;
  command: string;
  tags: Record<string, string | null>;
  metrics: Record<string, unknown>;
  exit_code: number | null;
  created_by: string;
  parent: string | null;
}

export interface Full extends Row {
  spec: Record<string, unknown>;
  state: State;
  properties: Record<string, unknown>;
  children: string[];
}

export interface State {
  status: string;
  stage: string;
  cause: string;
  message: string;
  since_ns: number;
  created_ns: number;
  queued_ns: number;
  started_ns: number;
  ended_ns: number;
  attempt: number;
  exit_code: number | null;
  exit_signal: number | null;
  deadline_ns: number;
}

export interface Fact {
  text: string;
  journal: string;
  offset: number;
  t_ns: number;
}

export interface Finding {
  rule: string;
  claim: string;
  evidence: Fact[];
  since_ns: number;
  next: string;
  next_ns: number;
  command: string;
  severity: string;
}

export interface Why {
  headline: string;
  findings: Finding[];
}

export interface Series {
  name: string;
  n: number;
  first_step: number;
  last_step: number;
  min: number | null;
  max: number | null;
  last: number | string;
  last_t_ns: number;
  non_finite: number;
}

export interface Page {
  runs: Row[];
  next: string | null;
}

// A list and what the server then says of it: the whole page, or only the rows that changed.
export function merged(rows: Row[], said: Row[], isWhole: boolean): Row[] {
  if (isWhole) return said;
  const changed = new Map(said.map((row) => [row.id, row]));
  return rows.map((row) => changed.get(row.id) ?? row);
}

// How long it has run or ran, in ms; null before its start.
export function ranMs(row: Pick<Row, "started_ns" | "ended_ns">, nowMs: number): number | null {
  if (!row.started_ns) return null;
  const endMs = row.ended_ns ? row.ended_ns / 1e6 : nowMs;
  return Math.max(0, endMs - row.started_ns / 1e6);
}
