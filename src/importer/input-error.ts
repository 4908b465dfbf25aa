/** A file that cannot be imported as a whole; the message says what was found and what is expected. */
export class InputError extends Error {
  override readonly name = "InputError";
}
