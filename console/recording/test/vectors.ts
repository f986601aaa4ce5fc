// The vectors beside FORMAT.md, which the writer's side made.
import { readdirSync, readFileSync } from "node:fs";
import type { Entry, Recording } from "../src/recording.js";

const folder = new URL("../../../../recording/testdata/vectors/", import.meta.url);

export interface Vector {
  name: string;
  about: string;
  error: string;
  keys: string[];
  slots: { id: string; kem: number }[];
  signer: string;
  header: string;
  session: unknown;
  bytes: number;
  frames: number;
  chain: string;
  complete: boolean;
  end?: string;
  end_at?: number;
  entries: { kind: number; name: string; at: number; channel: number; data: string }[];
}

export interface KeyVector {
  id: string;
  kem: string;
  label: string;
  private: string;
  locked: string;
  passphrase: string;
}

export const keys: KeyVector[] = JSON.parse(text("keys.json"));

export const vectors: Vector[] = readdirSync(folder)
  .filter((file) => file.endsWith(".rec"))
  .map((file) => ({ name: file.slice(0, -4), ...JSON.parse(text(file.replace(/rec$/, "json"))) }));

export function text(file: string): string {
  return readFileSync(new URL(file, folder), "utf8");
}

export function bytes(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`${name}.rec`, folder)));
}

export function vector(name: string): Vector {
  const found = vectors.find((one) => one.name === name);
  if (!found) throw new Error(`no vector ${name}`);
  return found;
}

export function privateKey(id: string): string {
  const found = keys.find((key) => key.id === id);
  if (!found) throw new Error(`no key ${id}`);
  return found.private;
}

export function signers(one: Vector): Uint8Array[] {
  return [new Uint8Array(Buffer.from(one.signer, "base64"))];
}

/** Everything that comes out, and the error that it ends with. */
export async function all(recording: Recording): Promise<{ entries: Entry[]; error?: unknown }> {
  const entries: Entry[] = [];
  try {
    for await (const entry of recording) entries.push(entry);
  } catch (error) {
    return { entries, error };
  }
  return { entries };
}

/** Entries as the vectors write them. */
export function plain(entries: Entry[]): { name: string; at: number; channel: number; data: string }[] {
  return entries.map(({ kind, at, channel, data }) => ({ name: kind, at, channel, data: Buffer.from(data).toString("base64") }));
}
