import { labelControls, plugin } from "./components.js";
import { present } from "./presentation.js";

const address = new URL("../openapi.json", import.meta.url);
const dark = matchMedia("(prefers-color-scheme: dark)");

/** The renderer has its own dark colours, which a class of the document turns on. */
function applyColorScheme() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

async function show() {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`The description could not be loaded: ${answer.status}`);
  const presentation = present(await answer.json(), new URL(".", address).href.replace(/\/$/, ""));
  const page = document.querySelector("#page");
  new MutationObserver(() => labelControls(page)).observe(page, { childList: true, subtree: true });
  window.SwaggerUIBundle({
    spec: presentation.spec,
    domNode: page,
    layout: "Page",
    plugins: [plugin(presentation)],
    deepLinking: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    defaultModelExpandDepth: 2,
    // The example of each operation shows an answer already.
    defaultModelRendering: "model",
    docExpansion: "list",
    tryItOutEnabled: false,
    // The default sends the document to a validator on the network.
    validatorUrl: null,
  });
}

applyColorScheme();
dark.addEventListener("change", applyColorScheme);
show().catch((failure) => {
  document.querySelector("#page").textContent = failure.message;
});
