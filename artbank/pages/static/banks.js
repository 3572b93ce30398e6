// Sorting, searching and choosing among the banks of the index; without it the page is a list by name.
"use strict";

const list = document.getElementById("banks");
const form = document.querySelector(".controls");

if (list && form) {
    const items = [...list.children];
    const [search, order, status] = ["search", "order", "status"].map((id) => document.getElementById(id));
    const number = (text, missing) => (text === "" ? missing : Number(text));
    const byName = (a, b) =>
        a.dataset.name.localeCompare(b.dataset.name) || Number(b.dataset.version) - Number(a.dataset.version);
    const orders = {
        name: byName,
        date: (a, b) => Number(b.dataset.date) - Number(a.dataset.date) || byName(a, b),
        gain: (a, b) => number(b.dataset.gain, -Infinity) - number(a.dataset.gain, -Infinity) || byName(a, b),
        loss: (a, b) => Number(a.dataset.loss) - Number(b.dataset.loss) || byName(a, b),
    };

    const choose = () => {
        const words = search.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
        let shown = 0;
        for (const item of items) {
            const text = item.dataset.text.toLocaleLowerCase();
            item.hidden =
                !words.every((word) => text.includes(word)) ||
                (status.value !== "" && item.dataset.status !== status.value);
            shown += item.hidden ? 0 : 1;
        }
        form.querySelector(".count").textContent =
            shown === items.length ? `${shown} banks` : `${shown} of ${items.length} banks`;
    };
    const sort = () => list.append(...[...items].sort(orders[order.value] || byName));

    form.addEventListener("submit", (event) => event.preventDefault());
    search.addEventListener("input", choose);
    status.addEventListener("change", choose);
    order.addEventListener("change", sort);
    form.hidden = false;
    sort(); // a browser may have kept what was chosen before
    choose();
}
