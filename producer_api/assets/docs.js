// The API's description, drawn by Swagger UI. Its own words are English; the texts of the description are in both languages, and
// the language that was chosen is the one shown.
import { applyTexts, language, onLanguage } from "/assets/shared.js";

const BETWEEN = " / "; // the summaries of calls: Vietnamese, then English

function inOneLanguage(text) {
  const parts = text.split(BETWEEN);
  return parts.length === 2 ? parts[language === "vi" ? 0 : 1] : text;
}

function localized(document) {
  const made = structuredClone(document);
  made.info.description = inOneLanguage(made.info.description);
  for (const calls of Object.values(made.paths)) {
    for (const call of Object.values(calls)) call.summary = inOneLanguage(call.summary);
  }
  return made;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const described = await (await fetch("/openapi.json")).json();

function show() {
  window.SwaggerUIBundle({
    spec: localized(described),
    dom_id: "#main",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    docExpansion: "list",
    validatorUrl: null,
  });
}

onLanguage(show);
applyTexts();
show();
