/* What if the page itself does not arrive whole: the server was just started again, the network
   changed, and one of its files is missing. Then nothing would ever be drawn. So say it, and load
   the page again: soon at first, then with longer pauses.

   No module, and before all others: it must be there when a module is not. */

(() => {
  const KEPT = "buckstop.again";
  const FIRST_MS = 500;
  const LONGEST_MS = 30000;
  let missed = false;
  const ours = (event) => /^(SCRIPT|LINK)$/.test(event.target?.tagName);

  function again() {
    const tries = Number(sessionStorage.getItem(KEPT) ?? 0);
    sessionStorage.setItem(KEPT, tries + 1);
    const said = document.createElement("p");
    said.className = "noscript";
    said.setAttribute("role", "alert");
    said.textContent = "Part of this page did not arrive. It is loaded again in a moment.";
    document.body?.append(said);
    setTimeout(() => location.reload(), Math.min(LONGEST_MS, FIRST_MS * 2 ** tries));
  }

  addEventListener("error", (event) => {
    if (missed || !ours(event)) return;
    missed = true;
    again();
  }, true);
  addEventListener("load", () => missed || sessionStorage.removeItem(KEPT));
})();
