import type { DescMessage, DescService } from "@bufbuild/protobuf";
import type { MethodImplSpec, ServiceImpl } from "@connectrpc/connect";

interface ServiceOptions {
  /** False for a service whose methods need no token: health and reflection. True by default. */
  readonly requiresAuth?: boolean;
  /** Whether the service's backlog is so long that new calls must be rejected. */
  readonly isOverloaded?: () => boolean;
  /**
   * Whether its calls wait for something to happen: they then hold no slot of the service or of their caller, and how long
   * they take says nothing of the load. False by default.
   */
  readonly isWaiting?: boolean;
  /** False for replies that are not to be compressed. True by default. */
  readonly compresses?: boolean;
}

/** A service and its handlers. */
export interface Service extends ServiceOptions {
  readonly desc: DescService;
  readonly impl: Partial<ServiceImpl<DescService>>;
}

/** Pairs a service with its handlers, type-checked against each other. */
export function service<Desc extends DescService>(
  desc: Desc,
  impl: Partial<ServiceImpl<Desc>>,
  options: ServiceOptions = {},
): Service {
  return { desc, impl: impl as Service["impl"], ...options };
}

/** A unary method with its handler. */
export type UnaryEndpoint = MethodImplSpec<DescMessage, DescMessage> & { kind: "unary" };

/** The messages that answer several calls. The frame of one is undefined until the first of them is answered. */
const sharedFrames = new WeakMap<object, Uint8Array | undefined>();

/** Marks a message as one that answers several calls: gRPC encodes it once. It must not be changed any more. */
export function shareReply<Message extends object>(message: Message): Message {
  sharedFrames.set(message, undefined);
  return message;
}

/** The frame of a message, by `make`; made once for a message that several calls share. */
export function frameOfReply(message: object, make: () => Uint8Array): Uint8Array {
  const known = sharedFrames.get(message);
  if (known !== undefined) return known;
  const frame = make();
  if (sharedFrames.has(message)) sharedFrames.set(message, frame);
  return frame;
}
