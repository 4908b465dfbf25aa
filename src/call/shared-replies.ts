/** A message that answers several calls. Its frame is undefined until the first of them is answered. */
const frames = new WeakMap<object, Uint8Array | undefined>();

/** Marks a message as one that answers several calls: gRPC encodes it once. It must not be changed any more. */
export function shareReply<Message extends object>(message: Message): Message {
  frames.set(message, undefined);
  return message;
}

/** The frame of a message, by `make`; made once for a message that several calls share. */
export function frameOfReply(message: object, make: () => Uint8Array): Uint8Array {
  const known = frames.get(message);
  if (known !== undefined) return known;
  const frame = make();
  if (frames.has(message)) frames.set(message, frame);
  return frame;
}
