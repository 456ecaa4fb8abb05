// The browser, as src/core asks for it: requests, sockets, clocks.

import type { Heard, Host, Socket } from "../core/live";
import type { Answer, Request, Rest } from "../core/rest";
import type { SocketEvents, TerminalSocket } from "../core/session";

export async function transport(request: Request): Promise<Answer> {
  const init: RequestInit = {
    method: request.method,
    headers: request.headers,
    credentials: "same-origin",
    cache: "no-store",
  };
  if (request.body !== undefined) init.body = request.body;
  const answer = await fetch(request.path, init);
  return {
    status: answer.status,
    header: (name) => answer.headers.get(name),
    json: () => answer.json() as Promise<unknown>,
    bytes: async () => new Uint8Array(await answer.arrayBuffer()),
  };
}

export function socketUrl(path: string): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

export function openSocket(path: string, heard: Heard): Socket {
  const socket = new WebSocket(socketUrl(path));
  socket.binaryType = "arraybuffer";
  socket.onopen = () => heard.open();
  socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
    if (typeof event.data === "string") heard.text(event.data);
    else heard.bytes(new Uint8Array(event.data));
  };
  socket.onclose = (event) => heard.closed(event.code);
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close: () => {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    },
  };
}

export function after(ms: number, call: () => void): () => void {
  const timer = setTimeout(call, ms);
  return () => clearTimeout(timer);
}

export function liveHost(rest: Rest): Host {
  return {
    ticket: async () => (await rest.post<{ ticket: string }>("/api/tickets")).ticket,
    open: (heard) => openSocket("/api/live", heard),
    now: () => performance.now(),
    after,
    random: Math.random,
  };
}

// Calls when the network is back or somebody looks at the page again: the moments to try at once.
export function onReturn(call: () => void): () => void {
  const seen = (): void => {
    if (document.visibilityState === "visible") call();
  };
  window.addEventListener("online", call);
  window.addEventListener("pageshow", call);
  document.addEventListener("visibilitychange", seen);
  return () => {
    window.removeEventListener("online", call);
    window.removeEventListener("pageshow", call);
    document.removeEventListener("visibilitychange", seen);
  };
}

export function terminalSocket(path: string, events: SocketEvents): TerminalSocket {
  const socket = new WebSocket(socketUrl(path));
  socket.binaryType = "arraybuffer";
  socket.onopen = () => events.open();
  socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
    if (typeof event.data !== "string") events.message(new Uint8Array(event.data));
  };
  socket.onclose = () => events.closed();
  const isOpen = (): boolean => socket.readyState === WebSocket.OPEN;
  return {
    sendText: (text) => {
      if (isOpen()) socket.send(text);
    },
    send: (message) => {
      if (isOpen()) socket.send(message);
    },
    close: () => {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    },
  };
}
