import { port, text } from "./validators.ts";

/** Where operators read the metrics. */
export interface AdminConfig {
  readonly host: string;
  readonly port: number;
}

export const adminVariables = {
  ADMIN_HOST: text({ default: "127.0.0.1" }),
  ADMIN_PORT: port({ default: 9464 }),
};

export function adminConfig(env: { ADMIN_HOST: string; ADMIN_PORT: number }): AdminConfig {
  return Object.freeze({ host: env.ADMIN_HOST, port: env.ADMIN_PORT });
}
