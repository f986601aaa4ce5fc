/** Which error it is, for programs. */
export type ErrorCode = "malformed" | "version" | "changed" | "cut" | "untrusted" | "wrong-key" | "key" | "locked";

/** Every error that this reader throws about what it was given. What the source of the bytes throws is passed on as it is. */
export class RecordingError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** This is no recording: no bytes of the form that a recording begins with. */
export class MalformedError extends RecordingError {
  constructor(message: string) {
    super("malformed", message);
  }
}

/** A recording of another version of the format, or one that uses what this reader does not know. */
export class VersionError extends RecordingError {
  constructor(message: string) {
    super("version", message);
  }
}

/** Something in the recording is not as its gateway wrote it. Nothing at or after that place was given out. */
export class ChangedError extends RecordingError {
  constructor(message: string) {
    super("changed", message);
  }
}

/** The recording stops before its end: it was cut, or is still being written. All whole frames before that are good. */
export class CutError extends RecordingError {
  constructor(
    message: string,
    /** Whole frames that were read. */
    readonly frames: number,
  ) {
    super("cut", message);
  }
}

/** The header is well signed, but not by a gateway that is trusted. */
export class UntrustedError extends RecordingError {
  constructor(
    message: string,
    /** The Ed25519 public key that the header names. */
    readonly signer: Uint8Array,
  ) {
    super("untrusted", message);
  }
}

/** The recording is not sealed to this key. */
export class WrongKeyError extends RecordingError {
  constructor(
    message: string,
    /** IDs of the keys that open it. */
    readonly recipients: readonly string[],
  ) {
    super("wrong-key", message);
  }
}

/** This is no private key that this reader can use. */
export class KeyError extends RecordingError {
  constructor(message: string) {
    super("key", message);
  }
}

/** The private key is locked by a passphrase, and none or not the right one was given. */
export class LockedError extends RecordingError {
  constructor(message: string) {
    super("locked", message);
  }
}
