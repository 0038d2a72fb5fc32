// Collects the settings that the user has set, as the server wants them. Knows nothing of VS Code's API.

/** What VS Code's `inspect` tells about a setting, as far as it matters here. */
export interface Inspected {
  globalValue?: unknown;
}

/** Settings that only concern this client. */
const OURS = new Set(['path']);

/**
 * The user's settings as nested objects: `model.baseUrl` becomes `{model: {baseUrl: …}}`.
 *
 * Defaults are left out, because they would override the user's config file. So is what a workspace sets: a
 * repository must not choose where code and keys are sent. What it may choose stands in its `.opendevagent.toml`.
 */
export function userSettings(keys: string[], inspect: (key: string) => Inspected | undefined): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const key of keys) {
    const value = inspect(key)?.globalValue;
    if (value !== undefined && !OURS.has(key)) {
      place(settings, key.split('.'), value);
    }
  }
  return settings;
}

function place(into: Record<string, unknown>, path: string[], value: unknown): void {
  const [first, ...rest] = path as [string, ...string[]];
  if (rest.length === 0) {
    into[first] = value;
  } else {
    place((into[first] ??= {}) as Record<string, unknown>, rest, value);
  }
}
