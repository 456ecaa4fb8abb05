// What a run's status looks like: its tone, and whether the run is over. The names are the API's.

export type Tone = "good" | "bad" | "busy" | "waiting" | "quiet" | "doubt";

const TONES: Record<string, Tone> = {
  NotStarted: "waiting",
  Queued: "waiting",
  Preparing: "busy",
  Provisioning: "busy",
  Starting: "busy",
  Running: "busy",
  Finalizing: "busy",
  CancelRequested: "doubt",
  NotResponding: "doubt",
  Completed: "good",
  Failed: "bad",
  Canceled: "quiet",
};

export const STATUSES = Object.keys(TONES);

export function tone(status: string): Tone {
  return TONES[status] ?? "quiet";
}

export function isOver(status: string): boolean {
  return status === "Completed" || status === "Failed" || status === "Canceled";
}

// "NotResponding" as a person would write it.
export function worded(status: string): string {
  return status.replace(/(?<=[a-z])([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);
}
