/* Comfort only: the page says everything without this script. */
(function () {
  "use strict";
  var root = document.documentElement;
  var toggle = document.getElementById("theme");
  var dark = window.matchMedia("(prefers-color-scheme: dark)");

  function remembered(value) {
    try {
      if (value) localStorage.setItem("headstart-theme", value);
      return localStorage.getItem("headstart-theme");
    } catch (error) {
      return null; /* storage is often closed to pages opened from a file */
    }
  }
  function theme() {
    return root.dataset.theme || (dark.matches ? "dark" : "light");
  }
  function label() {
    var other = theme() === "dark" ? "light" : "dark";
    toggle.textContent = other === "dark" ? "Dark" : "Light";
    toggle.setAttribute("aria-label", "Switch to the " + other + " theme");
  }
  var kept = remembered();
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  toggle.hidden = false;
  label();
  dark.addEventListener("change", label);
  toggle.addEventListener("click", function () {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    remembered(root.dataset.theme);
    label();
  });

  /* Tooltips at once, in place of the slow ones that <title> gives. */
  var tip = document.getElementById("tip");
  document.querySelectorAll(".chart .pt, .chart .cross").forEach(function (mark) {
    var title = mark.querySelector("title");
    if (!title) return;
    mark.dataset.tip = title.textContent;
    title.remove();
  });
  document.addEventListener("pointermove", function (event) {
    var mark = event.target.closest ? event.target.closest("[data-tip]") : null;
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    var left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = Math.max(8, event.clientY - tip.offsetHeight - 12) + "px";
  });

  /* A link into a closed arrival opens it; on paper all are open. */
  function open() {
    var target = location.hash ? document.getElementById(location.hash.slice(1)) : null;
    if (target && target.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
    }
  }
  window.addEventListener("hashchange", open);
  open();
  var closed = [];
  window.addEventListener("beforeprint", function () {
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    closed.forEach(function (one) { one.open = true; });
  });
  window.addEventListener("afterprint", function () {
    closed.forEach(function (one) { one.open = false; });
  });
})();
