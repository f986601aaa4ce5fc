// For people who want to see what the browser sees, and for comparing this reader with the other one:
//
//   node dist/cli.js show FILE KEYFILE [OFFSET INDEX FRAME CHAIN]
//   node dist/cli.js verify FILE [KEYFILE]
//
// show prints a line of JSON for each entry and one for how it ended; with the facts about a segment it begins there. verify prints what it found. Whether the signer
// is a gateway is not asked. A passphrase is taken from PASSPHRASE. Exits with 1 when something is wrong with the recording.
import { webcrypto } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { openRecording, openSegment, parseHeader, parseLockedKey, parsePrivateKey, type PrivateKey, type Recording, RecordingError, verify } from "./src/recording.js";

globalThis.crypto ??= webcrypto as unknown as Crypto; // Node 18 has it in a module only

function say(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function privateKey(file: string): Promise<PrivateKey> {
  const text = readFileSync(file, "utf8");
  if (text.startsWith("sekisho-locked-key-")) return parseLockedKey(text).unlock(process.env["PASSPHRASE"] ?? "");
  return parsePrivateKey(text);
}

async function open(file: string, key: PrivateKey, facts: string[]): Promise<Recording> {
  if (facts.length === 0) return openRecording(createReadStream(file), key, { signers: "any" });
  const [offset, index, frame, chain = ""] = facts as [string, string, string, string];
  const header = await parseHeader(readFileSync(file));
  const start = { offset: Number(offset), index: Number(index), frame: Number(frame), chain };
  return openSegment(createReadStream(file, { start: start.offset }), header, start, key, { signers: "any" });
}

async function show(file: string, keyFile: string, facts: string[]): Promise<void> {
  const recording = await open(file, await privateKey(keyFile), facts);
  try {
    for await (const entry of recording) say({ ...entry, data: Buffer.from(entry.data).toString("base64") });
  } finally {
    say({ session: recording.session, end: recording.end, ...recording.extent });
  }
}

async function check(file: string, keyFile: string | undefined): Promise<void> {
  const key = keyFile === undefined ? {} : { key: await privateKey(keyFile) };
  const { header, problem, ...report } = await verify(createReadStream(file), { signers: "any", ...key });
  say({ session: header?.session, ...report, problem: problem?.code });
  if (problem) throw problem;
}

async function main([command, file, keyFile, ...facts]: string[]): Promise<void> {
  if (command === "show" && file && keyFile && (facts.length === 0 || facts.length === 4)) return show(file, keyFile, facts);
  if (command === "verify" && file && facts.length === 0) return check(file, keyFile);
  process.stderr.write("usage: cli.js show FILE KEYFILE [OFFSET INDEX FRAME CHAIN] | verify FILE [KEYFILE]\n");
  process.exitCode = 2;
}

main(process.argv.slice(2)).catch((error: unknown) => {
  if (error instanceof RecordingError) process.stderr.write(`${error.code}: ${error.message}\n`);
  else console.error(error);
  process.exitCode = 1;
});
