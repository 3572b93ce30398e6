// Elements and the texts in them.
//
// What comes out of a store is text, never markup: elements are made by `make`, whose strings become text nodes.
"use strict";

(() => {
    const HIDDEN_SIGNS = /[\u0000-\u001f\u007f-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]|\u{e0001}|[\u{e0020}-\u{e007f}]/gu;

    const byId = (id) => document.getElementById(id);

    function make(tag, properties, ...children) {
        const element = document.createElement(tag);
        for (const [name, value] of Object.entries(properties || {})) {
            if (value === null || value === undefined) continue;
            if (name in element && name !== "list") element[name] = value;
            else element.setAttribute(name, value);
        }
        element.append(...children.filter((child) => child !== null && child !== undefined));
        return element;
    }

    const plain = (text) => String(text).replace(HIDDEN_SIGNS, "\ufffd");
    // A caption keeps the joiners that scripts such as Arabic and Hindi are written with.
    const captionText = (text) => String(text).replace(HIDDEN_SIGNS, (sign) => (/[\u200c\u200d]/.test(sign) ? sign : "\ufffd"));
    const numeral = (value) => value.toLocaleString("en");
    const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));

    function nameOf(key) {
        const cut = key.lastIndexOf("/") + 1;
        const parts = [make("span", {className: "folder"}, plain(key.slice(0, cut))), plain(key.slice(cut))];
        return make("bdi", {}, ...(cut ? parts : parts.slice(1)));
    }

    // A caption in its own direction; nothing for a photo without one.
    function captionOf(photo) {
        return photo.caption ? make("p", {className: "caption", dir: "auto"}, captionText(photo.caption)) : null;
    }

    Object.assign(artbank, {byId, make, plain, captionText, captionOf, numeral, score, nameOf});
})();
