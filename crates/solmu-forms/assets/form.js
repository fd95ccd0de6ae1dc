// The page works without this: the server drops what a hidden field carries and shows all errors itself.
"use strict";
const form = document.querySelector("form");
const valueOf = (name) => {
  const control = form.elements.namedItem(name);
  if (!control) return "";
  if (control instanceof RadioNodeList) return control.value;
  return control.type === "checkbox" ? String(control.checked) : control.value;
};
const show = () => {
  for (const field of form.querySelectorAll("[data-visible-field]")) {
    field.hidden = valueOf(field.dataset.visibleField) !== field.dataset.visibleValue;
  }
};
form.addEventListener("input", show);
form.addEventListener("submit", () => {
  // A second click would only send the same message again; the server takes it once in any case.
  const button = form.querySelector("button");
  setTimeout(() => { button.disabled = true; }, 0);
  setTimeout(() => { button.disabled = false; }, 5000);
});
window.addEventListener("pageshow", () => { show(); form.querySelector("button").disabled = false; });
show();
document.getElementById("summary")?.focus();
