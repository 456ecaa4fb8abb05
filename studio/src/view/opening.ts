// Open a session and go to it.

import type { Session } from "../core/sessions";
import { studio } from "./studio.svelte";

export async function openSession(wishes: { folder?: string; run?: string; name?: string } = {}): Promise<void> {
  const made = await studio.rest.post<Session>("/api/sessions", wishes);
  studio.go({ name: "session", id: made.id });
}
