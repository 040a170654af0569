// Languages by name, and voices put in the order in which a person looks for them.

const GENDERS = { female: "Female", male: "Male" };

/** The name of a BCP 47 tag in the reader's own language, as exactly as the browser knows it. */
export function languageName(tag, locale = undefined) {
  const names = new Intl.DisplayNames(locale, { type: "language", languageDisplay: "standard", fallback: "none" });
  const parts = tag.split("-");
  for (let count = parts.length; count > 0; count--) {
    const name = nameOf(names, parts.slice(0, count).join("-"));
    if (name && !/-x-/.test(name)) return name;
  }
  return tag;
}

function nameOf(names, tag) {
  try {
    return names.of(tag);
  } catch {
    return ""; // not a whole tag
  }
}

/** The language of a tag, by its usual code: Mandarin is "zh", whichever way it is written. */
function base(tag) {
  const [language] = tag.split("-");
  try {
    return Intl.getCanonicalLocales(language)[0];
  } catch {
    return language.toLowerCase();
  }
}

/** Voices grouped by language, the `preferred` languages first: `[{language, name, voices}]`. */
export function groupVoices(voices, preferred) {
  const groups = new Map();
  for (const voice of voices) {
    const language = base(voice.language);
    if (!groups.has(language)) groups.set(language, { language, name: languageName(language), voices: [] });
    groups.get(language).voices.push(voice);
  }
  const wanted = preferred.map(base);
  const rank = ({ language }) => (wanted.includes(language) ? wanted.indexOf(language) : wanted.length);
  return [...groups.values()].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}

/** The voices that hold every word of `query` in their name, language or description. */
export function searchVoices(voices, query) {
  const wanted = fold(query).split(/\s+/).filter(Boolean);
  return voices.filter((voice) => wanted.every((word) => haystack(voice).includes(word)));
}

function haystack({ name, id, model, language, gender, description }) {
  const names = [languageName(language), languageName(language, "en"), languageName(base(language), base(language))];
  return fold([name, id, model, language, GENDERS[gender] ?? "", description, ...names].join(" "));
}

function fold(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

/** The voice to begin with: `kept` if it is still there, else the first of a preferred language, else the first. */
export function firstVoice(voices, kept, preferred) {
  const same = voices.find(({ id, model }) => id === kept?.id && model === kept?.model);
  const exact = preferred.map((tag) => voices.find(({ language }) => language.toLowerCase() === tag.toLowerCase()));
  const near = preferred.map((tag) => voices.find(({ language }) => base(language) === base(tag)));
  return same ?? exact.find(Boolean) ?? near.find(Boolean) ?? voices[0] ?? null;
}

/** What tells a voice from the others of its language, beside its name. */
export function voiceDetail({ name, language, gender, model }) {
  const region = name.startsWith(languageName(base(language), "en")) ? "" : languageName(language);
  return [region, GENDERS[gender], model].filter(Boolean).join(" · ");
}
