// A photo and its picture on a stage: one over the other with a divider, or side by side, zoomed alike.
"use strict";

(() => {
    const {byId, make, plain, Zoom, MOST_ENLARGED, pictureUrls, photoUrls, photoWords, missingPicture, showFirst} = artbank;
    const SIDE = "side";

    let stage = null, zoom = null, panes = {}, shown = null, cut = 50;
    let mode = "slider";

    function setUp({turned, closed}) {
        stage = byId("viewer-stage");
        panes = {picture: byId("pane-picture"), photo: byId("pane-photo")};
        const divided = (clientX) => {
            const [from, to] = dividerRange(), left = stage.getBoundingClientRect().left;
            setCut(Math.round(100 * (clientX - left - from) / (to - from)));
        };
        const dividerX = () => (hasDivider() ? stage.getBoundingClientRect().left + dividerPlace() : null);
        zoom = new Zoom(stage, {changed: draw, turned, closed, divided, dividerX, room});
        byId("viewer-divider").addEventListener("input", (event) => setCut(Number(event.target.value)));
        new ResizeObserver(() => zoom.place(zoom.x, zoom.y)).observe(stage);
    }

    const hasDivider = () => mode !== SIDE && Boolean(shown && shown.hasPhoto && shown.hasPicture);

    function show(photo, cell, style) {
        shown = {photo, cell, hasPhoto: false, hasPicture: false};
        const words = `${plain(photo.key)} in the style ${plain(style)}`;
        const missing = (text) => missingPicture(cell || {}, photo.shape) || make("p", {className: "blank"}, text);
        const nothing = cell ? "picture not found here" : "not drawn";
        fill("picture", cell ? pictureUrls(photo, cell, style) : [], words, () => missing(nothing));
        fill("photo", photoUrls(photo), `Photo ${plain(photo.key)}`, () => make("p", {className: "blank"}, photoWords(photo)));
        zoom.reset();
    }

    // Files in full come before small copies; words stand where there is none.
    function fill(name, urls, alt, words) {
        const own = shown, has = name === "photo" ? "hasPhoto" : "hasPicture";
        const giveUp = () => {
            if (own !== shown) return;
            own[has] = false;
            panes[name].replaceChildren(words());
            draw();
        };
        if (!urls.length) return giveUp();
        own[has] = true;
        const image = make("img", {alt, draggable: false});
        image.addEventListener("load", draw);
        panes[name].replaceChildren(image);
        showFirst(image, [...urls], giveUp);
    }

    // The size that a picture has in its pane, px of the screen: at most three times its own.
    function boxOf(pane) {
        const {clientWidth, clientHeight} = pane, [width, height] = sizeOf();
        const scale = Math.min(clientWidth / width, clientHeight / height, MOST_ENLARGED);
        return [width * scale, height * scale];
    }

    function sizeOf() {
        const image = panes.picture.querySelector("img"), photo = panes.photo.querySelector("img");
        if (shown.cell && shown.cell.size) return shown.cell.size;
        const known = [image, photo].find((one) => one && one.naturalWidth);
        return known ? [known.naturalWidth, known.naturalHeight] : [1200, 1200 / (shown.photo.shape || 1.333)];
    }

    function room(scale) {
        if (!shown) return [0, 0];
        const pane = hasDivider() || mode === SIDE ? panes.picture : stage, box = boxOf(pane);
        return [pane.clientWidth, pane.clientHeight].map((own, side) => Math.max(0, (box[side] * scale - own) / 2));
    }

    function draw() {
        if (!shown) return;
        const isAlone = !shown.hasPhoto && mode !== SIDE;
        stage.dataset.mode = mode === SIDE ? SIDE : isAlone ? "alone" : shown.hasPicture ? "slider" : SIDE;
        const box = boxOf(panes.picture);
        for (const pane of Object.values(panes)) {
            const image = pane.querySelector("img");
            if (!image) continue;
            [image.style.width, image.style.height] = box.map((length) => `${length}px`);
            image.style.transform = `translate(${zoom.x}px, ${zoom.y}px) scale(${zoom.scale})`;
        }
        if (hasDivider()) stage.style.setProperty("--cut", `${dividerPlace()}px`);
        byId("viewer-divider").disabled = !hasDivider();
        stage.classList.toggle("zoomed", zoom.scale > 1);
        byId("viewer-zoom").textContent = `${Math.round(100 * zoom.scale)} %`;
    }

    // Where the divider may be, px from the left of the stage: over what is seen of the picture.
    function dividerRange() {
        const width = stage.clientWidth, half = boxOf(panes.picture)[0] * zoom.scale / 2;
        const middle = width / 2 + zoom.x;
        return [Math.max(0, middle - half), Math.min(width, middle + half)];
    }

    function dividerPlace() {
        const [from, to] = dividerRange();
        return from + (to - from) * cut / 100;
    }

    function setCut(value) {
        cut = Math.min(Math.max(value, 0), 100);
        byId("viewer-divider").value = cut;
        byId("viewer-divider").setAttribute("aria-valuetext", `${cut} % photo`);
        draw();
    }

    function setMode(wanted) {
        mode = wanted;
        for (const button of byId("viewer-modes").querySelectorAll("button")) {
            button.setAttribute("aria-pressed", String(button.value === mode));
        }
        zoom.reset();
    }

    const zoomBy = (direction) => (direction ? zoom.by(direction) : zoom.reset());

    artbank.stage = {setUp, show, setMode, setCut, zoomBy, sizeOf};
})();
