/** The language in use; pages that read `words.t` follow its change. */
import { en, type Words } from './en';
import { zh } from './zh';

export const languages = ['en', 'zh'] as const;
export type Language = (typeof languages)[number];

const dictionaries: Readonly<Record<Language, Words>> = { en, zh };

/** In the words of HTML's `lang`. */
const tags: Readonly<Record<Language, string>> = { en: 'en', zh: 'zh-CN' };

class Wording {
  #language = $state<Language>('en');
  readonly t = $derived(dictionaries[this.#language]);

  get language(): Language {
    return this.#language;
  }

  use(language: Language): void {
    this.#language = language;
    document.documentElement.lang = tags[language];
  }
}

export const words = new Wording();

export function asLanguage(text: string | null | undefined): Language | null {
  const known = languages.find((language) => text?.toLowerCase().startsWith(language));
  return known ?? null;
}

/** The browser's first language that we have. */
export function preferredLanguage(): Language {
  for (const text of navigator.languages) {
    const language = asLanguage(text);
    if (language) return language;
  }
  return 'en';
}

export function languageName(language: Language): string {
  return dictionaries[language].languageName;
}
