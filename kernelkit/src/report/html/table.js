"use strict";
document.querySelectorAll("table.sorted").forEach(function (table) {
  var body = table.tBodies[0];
  table.querySelectorAll("th button").forEach(function (button) {
    var head = button.parentNode;
    button.addEventListener("click", function () {
      var up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach(function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      var rows = Array.from(body.rows);
      rows.sort(function (left, right) {
        var a = left.cells[head.cellIndex].dataset.v || "", b = right.cells[head.cellIndex].dataset.v || "";
        return (up ? 1 : -1) * a.localeCompare(b, "en", { numeric: true });
      });
      rows.forEach(function (row) { body.appendChild(row); });
    });
  });
});
document.querySelectorAll("form.filter").forEach(function (form) {
  var rows = Array.from(document.getElementById(form.dataset.table).tBodies[0].rows);
  var said = form.querySelector("output");
  function apply() {
    var words = form.elements.words.value.toLowerCase().split(" ");
    var state = form.elements.state ? form.elements.state.value : "";
    var shown = 0;
    rows.forEach(function (row) {
      var text = row.textContent.toLowerCase();
      var fits = words.every(function (word) { return text.includes(word); });
      row.hidden = !(fits ? state === "" || row.dataset.state === state : false);
      shown += row.hidden ? 0 : 1;
    });
    said.textContent = shown === rows.length ? "" : shown + " of " + rows.length + " shown";
  }
  form.addEventListener("input", apply);
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.hidden = false;
});
