// Requests to the server: JSON, bytes of a journal by offset, and errors in the server's own words.
// How a request is sent is given (`Transport`), so this runs in a browser, a worker and a test.

export interface Answer {
  status: number;
  header(name: string): string | null;
  json(): Promise<unknown>;
  bytes(): Promise<Uint8Array>;
}

export interface Request {
  method: string;
  path: string;
  body?: string;
  headers: Record<string, string>;
}

export type Transport = (request: Request) => Promise<Answer>;

// The server refused. `status` 401: nobody is logged in; 0: it can't be reached.
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint = "",
  ) {
    super(message);
  }
}

export interface Piece {
  bytes: Uint8Array;
  start: number;
  next: number;
  sizeBytes: number; // of the whole journal by now
  isEnd: boolean; // nothing will ever follow
}

export type Query = Record<string, string | number | undefined>;

export class Rest {
  // Called when a request finds that the session is over.
  onLoggedOut: () => void = () => {};

  constructor(private readonly transport: Transport) {}

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return (await (await this.ask("GET", withQuery(path, query))).json()) as T;
  }

  async post<T>(path: string, body: unknown = {}): Promise<T> {
    const answer = await this.ask("POST", path, body);
    return (answer.status === 204 ? undefined : await answer.json()) as T;
  }

  // Bytes of a journal from `start` on, those that are there now.
  async piece(path: string, start: number, limitBytes: number): Promise<Piece> {
    const answer = await this.ask("GET", withQuery(path, { from: start, limit: limitBytes }));
    const bytes = await answer.bytes();
    const from = Number(answer.header("Outlast-From") ?? start);
    const next = Number(answer.header("Outlast-Next") ?? from + bytes.length);
    const sizeBytes = Number(answer.header("Outlast-Size") ?? next);
    return { bytes, start: from, next, sizeBytes, isEnd: answer.header("Outlast-End") === "1" };
  }

  private async ask(method: string, path: string, body?: unknown): Promise<Answer> {
    // The header shows that our own script asks: pages of other origins can't send it.
    const headers: Record<string, string> = { "Outlast-Studio": "1" };
    const request: Request = { method, path, headers };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    let answer: Answer;
    try {
      answer = await this.transport(request);
    } catch {
      throw new Refusal(0, "unreachable", "the server can't be reached");
    }
    if (answer.status < 300) return answer;
    const refusal = await refusalOf(answer);
    if (answer.status === 401) this.onLoggedOut();
    throw refusal;
  }
}

async function refusalOf(answer: Answer): Promise<Refusal> {
  try {
    const { error } = (await answer.json()) as { error: Record<string, string> };
    const { code = "", message = "", hint = "" } = error;
    return new Refusal(answer.status, code, message, hint);
  } catch {
    return new Refusal(answer.status, "unreadable", `the server answered ${answer.status}`);
  }
}

export function withQuery(path: string, query: Query): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") params.append(name, String(value));
  }
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}
