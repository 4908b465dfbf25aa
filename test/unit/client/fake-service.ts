import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type HandlerContext } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { AccessService, Cause, Effect } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import {
  type ChangeSchema,
  ChangeService,
  type WatchChangesRequest,
  WatchChangesResponseSchema,
} from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { Audience, PrivacySetting } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { errorDomain } from "../../../src/domain/wire-names.ts";
import { until } from "../../support/until.ts";

type ChangeInit = MessageInitShape<typeof ChangeSchema>;

interface Message {
  readonly changes?: ChangeInit[];
  readonly cursor?: string;
  readonly complete?: boolean;
  /** In milliseconds since 1970. */
  readonly through?: number;
}

/** A stream that a replica has opened. */
export class FakeStream {
  readonly request: WatchChangesRequest;
  readonly authorization: string | null;
  readonly #messages: (Message | Error)[] = [];
  #wake = () => {};
  isOpen = true;

  constructor(request: WatchChangesRequest, { requestHeader, signal }: HandlerContext) {
    this.request = request;
    this.authorization = requestHeader.get("authorization");
    signal.addEventListener("abort", () => {
      this.isOpen = false;
      this.#wake();
    });
  }

  /** Sends messages, at once; a failure ends the stream. */
  send(...messages: (Message | Error)[]): void {
    this.#messages.push(...messages);
    this.#wake();
  }

  async *messages() {
    while (this.isOpen) {
      for (const message of this.#messages.splice(0)) {
        if (message instanceof Error) {
          this.isOpen = false;
          throw message;
        }
        const { through, ...rest } = message;
        yield create(WatchChangesResponseSchema, {
          ...rest,
          ...(through !== undefined && { through: timestampOf(through) }),
        });
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (this.#messages.length > 0 || !this.isOpen) resolve();
      });
    }
  }
}

/** What a replica asks, answered as a test wants it. */
export class FakeService {
  readonly streams: FakeStream[] = [];
  readonly questions: string[] = [];
  /** What the clock of the database shows, in milliseconds since 1970; undefined when it cannot be read. */
  now: () => number | undefined = () => Date.now();
  /** What comes after a cursor; nothing is said of it by default. */
  after: (cursor: string) => Message | Promise<Message> = () => ({});
  /** What it answers instead of a time of the database, or of a stream. */
  failure: ConnectError | undefined;
  /** Called before a decision is answered. */
  beforeDecision: () => void = () => {};

  readonly transport = createRouterTransport(({ service }) => {
    service(ChangeService, {
      watchChanges: (request, context) => {
        if (this.failure !== undefined) throw this.failure;
        const stream = new FakeStream(request, context);
        this.streams.push(stream);
        return stream.messages();
      },
      readChanges: async ({ start, consistencyToken }) => {
        if (this.failure !== undefined) throw this.failure;
        if (consistencyToken === "no token")
          throw failureOf("INVALID_CONSISTENCY_TOKEN", Code.InvalidArgument);
        const now = this.now();
        const readAt = now === undefined ? {} : { readAt: timestampOf(now) };
        if (start.case !== "cursor") return { complete: true, ...readAt };
        const { through, ...rest } = await this.after(start.value);
        return { ...rest, ...readAt, ...(through !== undefined && { through: timestampOf(through) }) };
      },
    });
    service(AccessService, {
      checkAccess: ({ ownerId }) => {
        this.questions.push(ownerId);
        this.beforeDecision();
        return { effect: Effect.HIDE, cause: Cause.MUTING };
      },
      filterUsers: ({ ownerIds }) => {
        this.questions.push(`${ownerIds.length}`);
        return { ownerIds: ownerIds.slice(0, 1) };
      },
    });
  });

  /** Waits for the stream of a number, from 1 on. */
  async stream(number: number): Promise<FakeStream> {
    await until(() => this.streams.length >= number);
    return this.streams[number - 1] as FakeStream;
  }
}

export function failureOf(reason: string, code: Code): ConnectError {
  return new ConnectError(reason, code, undefined, [
    { desc: ErrorInfoSchema, value: { reason, domain: errorDomain } },
  ]);
}

export const gone = () => failureOf("UNAVAILABLE", Code.Unavailable);

function timestampOf(ms: number) {
  const seconds = Math.floor(ms / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1_000) * 1_000_000) };
}

export const changesOf = {
  user: (userId: string): ChangeInit => ({ change: { case: "userAdded", value: { userId } } }),
  noUser: (userId: string): ChangeInit => ({ change: { case: "userErased", value: { userId } } }),
  block: (ownerId: string, targetId: string, endsAt?: number): ChangeInit => ({
    change: {
      case: "block",
      value: {
        ownerId,
        targetId,
        present: true,
        ...(endsAt !== undefined && { expiresAt: timestampOf(endsAt) }),
      },
    },
  }),
  statusOfContacts: (userId: string): ChangeInit => ({
    change: {
      case: "setting",
      value: { userId, setting: PrivacySetting.STATUS, audience: Audience.CONTACTS },
    },
  }),
  noBlock: (ownerId: string, targetId: string): ChangeInit => ({
    change: { case: "block", value: { ownerId, targetId, present: false } },
  }),
};
