/** Light, dark, or as the system: set on `<html data-theme>`, where tokens.css reads it. */

export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

class Appearance {
  #theme = $state<Theme>('system');

  get theme(): Theme {
    return this.#theme;
  }

  use(theme: Theme): void {
    this.#theme = theme;
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }
}

export const appearance = new Appearance();

export function asTheme(text: string | null | undefined): Theme | null {
  return themes.find((theme) => theme === text) ?? null;
}
