import { setImmediate as nextTurn } from "node:timers/promises";
import { allScopes } from "../domain/changes.ts";
import { audiences, privacySettings } from "../domain/settings.ts";
import type { RelationshipGraph } from "../graph/relationship-graph.ts";
import type { StatePosition } from "../store/change-log.ts";
import type { GraphPage, GraphPageReader } from "../store/graph-pages.ts";

/** So many rows are read at once: more hold up the event loop for longer when they arrive, fewer take longer for each. */
const pageRows = 5_000;
/** So many rows are added before other events are handled. */
const rowsPerTurn = 500;

const idBytes = 16;
/** From the beginning of PostgreSQL's time, 2000-01-01T00:00:00Z, to that of Unix, in microseconds. */
const epochMicros = 946_684_800_000_000;
const infinity = 2n ** 63n - 1n;

/** Adds a row that begins at an offset. */
type AddRow = (graph: RelationshipGraph, data: Uint8Array, view: DataView, at: number) => void;

interface RowReader {
  readonly bytes: number;
  readonly add: AddRow;
}

const second = idBytes;
const afterIds = 2 * idBytes;
const endBytes = 8;

function endAt(view: DataView, at: number): number {
  const micros = view.getBigInt64(at);
  return micros === infinity ? Number.POSITIVE_INFINITY : Number(micros) + epochMicros;
}

function nameAt<Name>(names: readonly Name[], index: number | undefined): Name {
  const name = names[index ?? -1];
  if (name === undefined) throw new Error(`a page has an unknown index ${index}`);
  return name;
}

/** How the rows of each table are read: see `GraphPage`. */
const readers: Readonly<Record<GraphPage["table"], RowReader>> = {
  users: { bytes: idBytes, add: (graph, data, _, at) => graph.addUser(data, at) },
  privacy_settings: {
    bytes: idBytes + 2,
    add: (graph, data, _, at) =>
      graph.addSetting(
        data,
        at,
        nameAt(privacySettings, data[at + idBytes]),
        nameAt(audiences, data[at + idBytes + 1]),
      ),
  },
  privacy_exceptions: {
    bytes: idBytes + 1 + idBytes,
    add: (graph, data, _, at) =>
      graph.addException(data, at, nameAt(privacySettings, data[at + idBytes]), at + idBytes + 1),
  },
  blocks: {
    bytes: afterIds + endBytes,
    add: (graph, data, view, at) =>
      graph.addEdge("block", data, at, at + second, endAt(view, at + afterIds), allScopes),
  },
  mutes: {
    bytes: afterIds + endBytes + 2,
    add: (graph, data, view, at) =>
      graph.addEdge(
        "mute",
        data,
        at,
        at + second,
        endAt(view, at + afterIds),
        view.getInt16(at + afterIds + endBytes),
      ),
  },
  follows: {
    bytes: afterIds,
    add: (graph, data, _, at) =>
      graph.addEdge("follow", data, at, at + second, Number.POSITIVE_INFINITY, allScopes),
  },
};

/** How far a load has come. */
export interface LoadProgress {
  /** The table that is being read. */
  readonly table: GraphPage["table"];
  /** Rows of all tables that are in the graph. */
  readonly rows: number;
}

/**
 * Reads all tables into a graph, page by page, each at another moment: what changes meanwhile may be in the graph or not.
 * `onPage` is called after each page; what it throws ends the load.
 */
export async function loadGraph(
  graph: RelationshipGraph,
  pages: GraphPageReader,
  onPage: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<void> {
  let rows = 0;
  let reading: Promise<GraphPage> | undefined = pages.read(undefined, pageRows, signal);
  while (reading !== undefined) {
    const page: GraphPage = await reading;
    // The server reads the next page while this one is added.
    reading = page.next && readNext(pages, page.next, signal);
    await addPage(graph, page);
    rows += page.rows;
    onPage({ table: page.table, rows });
  }
}

/** Begins to read a page. Its failure is met when the page is awaited. */
function readNext(pages: GraphPageReader, position: StatePosition, signal: AbortSignal): Promise<GraphPage> {
  const reading = pages.read(position, pageRows, signal);
  reading.catch(() => {});
  return reading;
}

async function addPage(graph: RelationshipGraph, { table, rows, data }: GraphPage): Promise<void> {
  const { bytes, add } = readers[table];
  if (data.length !== rows * bytes) throw new Error(`${rows} rows of ${table} have ${data.length} bytes`);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  for (let row = 0; row < rows; row++) {
    if (row % rowsPerTurn === 0) await nextTurn();
    add(graph, data, view, row * bytes);
  }
}
