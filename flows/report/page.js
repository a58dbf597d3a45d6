"use strict";

// one heat map at a time
const choice = document.getElementById("choice");
if (choice) {
  const maps = document.querySelectorAll("[data-map]");
  const show = () => maps.forEach((map) => { map.hidden = map.dataset.map !== choice.value; });
  choice.addEventListener("change", show);
  show(); // a browser may restore an earlier choice when the page is opened again
}

// a click on a header sorts; unknown values stay last both ways
for (const button of document.querySelectorAll("th > button")) {
  button.addEventListener("click", () => {
    const header = button.parentElement;
    const column = [...header.parentElement.children].indexOf(header);
    const names = column === 0;
    const sorted = header.getAttribute("aria-sort");
    const up = sorted ? sorted === "descending" : names;
    for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = header.closest("table").tBodies[0];
    const key = (row) => row.children[column].dataset.sort;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (names) return up ? x.localeCompare(y) : y.localeCompare(x);
      if (x === "" || y === "") return (x === "") - (y === "");
      return up ? x - y : y - x;
    };
    body.append(...[...body.rows].sort(compare));
  });
}
