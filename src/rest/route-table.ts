import findMyWay, { type HTTPMethod } from "find-my-way";
import type { Route } from "./routes.ts";

/** A route, and the raw text of the parameters in its path. */
export interface Match {
  readonly route: Route;
  readonly parameters: readonly string[];
}

/**
 * Finds routes by raw path: literals match exactly, so an encoded letter, another case, a trailing or a doubled slash
 * is another path. Parameters come back as they were sent: whoever reads them decodes them, once.
 */
export class RouteTable {
  readonly #router = findMyWay({ maxParamLength: Number.MAX_SAFE_INTEGER });
  readonly #verbs: ReadonlySet<string>;

  constructor(routes: readonly Route[]) {
    this.#verbs = new Set(routes.map(({ rule }) => rule.verb));
    for (const route of routes) this.#router.on(route.rule.verb, pathOf(route), () => {}, route);
  }

  /** The route of an HTTP method at a path. */
  find(verb: string, path: string): Match | undefined {
    if (!path.startsWith("/")) return undefined;
    // The router decodes paths and ends them at "#": escaped, they come through as they are.
    const escaped = path.replaceAll("%", "%25").replaceAll("#", "%23");
    const found = this.#router.find(verb as HTTPMethod, escaped);
    if (found === null) return undefined;
    const parameters = Object.values(found.params) as string[];
    return parameters.includes("") ? undefined : { route: found.store as Route, parameters };
  }

  /** The routes of every HTTP method at a path. */
  at(path: string): readonly Route[] {
    return [...this.#verbs].flatMap((verb) => this.find(verb, path)?.route ?? []);
  }
}

function pathOf({ segments }: Route): string {
  return segments
    .map((segment, index) => ("literal" in segment ? `/${segment.literal}` : `/:p${index}`))
    .join("");
}
