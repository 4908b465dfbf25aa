const description = new URL("../openapi.json", document.currentScript.src).href;

window.addEventListener("DOMContentLoaded", () => {
  window.SwaggerUIBundle({
    url: description,
    dom_id: "#page",
    deepLinking: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    defaultModelExpandDepth: 3,
    docExpansion: "list",
    tryItOutEnabled: false,
    // The default sends the document to a validator on the network.
    validatorUrl: null,
  });
});
