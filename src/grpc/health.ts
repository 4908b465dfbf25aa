import { Code, ConnectError } from "@connectrpc/connect";
import {
  Health,
  type HealthCheckResponse_ServingStatus,
  HealthCheckResponse_ServingStatus as Status,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { type Service, service } from "../call/service.ts";

/** Whether this process serves, as `grpc.health.v1` reports it: as a whole (the name "") and for each service. */
export class HealthState {
  readonly #names: ReadonlySet<string>;
  readonly #watchers = new Set<() => void>();
  #serving = true;
  #stopped = false;
  #ended = false;

  /** Begins as serving. */
  constructor(serviceNames: Iterable<string>) {
    this.#names = new Set(["", ...serviceNames]);
  }

  /** Whether every `Watch` is to end after the status that it last sent. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Sets whether the services serve now, and informs every watcher. */
  setServing(serving: boolean): void {
    if (this.#stopped) return;
    this.#serving = serving;
    this.#wake();
  }

  /** Ends serving for ever: every `Watch` gets `NOT_SERVING`, and stays open. */
  stop(): void {
    this.setServing(false);
    this.#stopped = true;
  }

  /** Ends every `Watch`, now and to come, after a last `NOT_SERVING`. */
  end(): void {
    this.stop();
    this.#ended = true;
    this.#wake();
  }

  /** The status of a service, undefined for a name that is not known. */
  statusOf(name: string): HealthCheckResponse_ServingStatus | undefined {
    if (!this.#names.has(name)) return undefined;
    return this.#serving ? Status.SERVING : Status.NOT_SERVING;
  }

  /** Every name, "" included. */
  names(): Iterable<string> {
    return this.#names;
  }

  /** Waits for the next change, or for `signal` to abort. */
  change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => {
      this.#watchers.delete(wake);
      signal.removeEventListener("abort", wake);
      resolve();
    };
    this.#watchers.add(wake);
    signal.addEventListener("abort", wake);
    if (signal.aborted) wake();
    return promise;
  }

  #wake(): void {
    for (const wake of this.#watchers) wake();
  }
}

/** `grpc.health.v1.Health` over a state; needs no token. */
export function healthService(state: HealthState): Service {
  return service(
    Health,
    {
      check({ service: name }) {
        const status = state.statusOf(name);
        if (status === undefined) throw new ConnectError("unknown service", Code.NotFound);
        return { status };
      },
      list() {
        const statuses = Array.from(state.names(), (name) => [
          name,
          { status: state.statusOf(name) ?? Status.UNKNOWN },
        ]);
        return { statuses: Object.fromEntries(statuses) };
      },
      async *watch({ service: name }, { signal }) {
        const statusNow = () => state.statusOf(name) ?? Status.SERVICE_UNKNOWN;
        for (;;) {
          const status = statusNow();
          yield { status };
          while (statusNow() === status) {
            if (state.ended || signal.aborted) return;
            await state.change(signal);
          }
        }
      },
    },
    { requiresAuth: false },
  );
}
