/* The theme somebody chose, before anything is drawn: light, dark, or as the system has it.
   No module, because modules run after the first drawing and the page would flash. */

(() => {
  const chosen = localStorage.getItem("buckstop.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
