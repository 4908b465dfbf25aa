import { expect } from "chai";
import { CompiledQuery, type ControlConnectionProvider, type DatabaseConnection } from "kysely";
import { type PooledClient, PooledConnection } from "../../../src/store/pooled-connection.ts";

const query = CompiledQuery.raw("select 1");

describe("a connection of a pool", () => {
  let statement: PromiseWithResolvers<never>;
  let cancellations: string[];
  /** What a cancellation does. */
  let onCancel: () => void;
  let connection: PooledConnection;

  const control: ControlConnectionProvider = (use) =>
    use({
      async executeQuery({ sql }: CompiledQuery) {
        cancellations.push(sql);
        onCancel();
        return { rows: [] };
      },
    } as unknown as DatabaseConnection);

  beforeEach(() => {
    statement = Promise.withResolvers();
    cancellations = [];
    onCancel = () => {};
    const client = { query: () => statement.promise, processID: 7, release: () => {} };
    connection = new PooledConnection(client as unknown as PooledClient, control);
  });

  const failureOf = (work: Promise<unknown>) => work.catch((failure: unknown) => failure);

  it("has its statement cancelled over another connection", async () => {
    const cancelled = new Error("cancelled");
    onCancel = () => statement.reject(cancelled);
    const result = failureOf(connection.executeQuery(query));
    await connection.cancelRunning();
    expect(await result).to.equal(cancelled);
    expect(cancellations).to.eql(["select pg_cancel_backend(7)"]);
  });

  it("has it cancelled again when the first cancellation is lost, or fails", async () => {
    onCancel = () => {
      if (cancellations.length === 1) return;
      if (cancellations.length === 2) throw new Error("the control connection broke");
      statement.reject(new Error("cancelled"));
    };
    const result = failureOf(connection.executeQuery(query));
    await connection.cancelRunning();
    await result;
    expect(cancellations).to.have.length(3);
  });

  it("has nothing cancelled when nothing runs any more", async () => {
    const result = failureOf(connection.executeQuery(query));
    statement.reject(new Error("too late"));
    await result;
    await connection.cancelRunning();
    expect(cancellations).to.eql([]);
  });

  it("has nothing cancelled that ended while the other connection was waited for", async () => {
    const waiting = Promise.withResolvers<void>();
    const late = new PooledConnection(
      { query: () => statement.promise } as unknown as PooledClient,
      async (use) => {
        await waiting.promise;
        await control(use);
      },
    );
    const result = failureOf(late.executeQuery(query));
    const cancelling = late.cancelRunning();
    statement.reject(new Error("too late"));
    await result;
    waiting.resolve();
    await cancelling;
    expect(cancellations).to.eql([]);
  });
});
