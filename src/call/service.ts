import type { DescMessage, DescService } from "@bufbuild/protobuf";
import type { MethodImplSpec, ServiceImpl } from "@connectrpc/connect";

interface ServiceOptions {
  /** Needs no token, as health and reflection do. */
  readonly open?: boolean;
  /** Whether what its calls wait for is so much that one that comes now must be refused. */
  readonly full?: () => boolean;
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
