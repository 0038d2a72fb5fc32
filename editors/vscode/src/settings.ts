// Picks the settings that the user has set, as the server wants them. Knows nothing of VS Code's API.

/** What VS Code's `inspect` tells about a whole section, as far as it matters here: nested objects. */
export interface Inspected {
  globalValue?: Record<string, unknown>;
}

/**
 * The user's settings as nested objects: `model.baseUrl` becomes `{model: {baseUrl: …}}`.
 *
 * Defaults are left out, because they would override the user's config file. So is what a workspace sets: a
 * repository must not choose where code and keys are sent. What it may choose stands in its `.opendevagent.toml`.
 * And so is `path`, which only concerns this client.
 */
export function userSettings(section: Inspected | undefined): Record<string, unknown> {
  const { path: _, ...settings } = section?.globalValue ?? {};
  return settings;
}
