// Files on their way to the server.
import { addedHeaders, problemOf, refuse } from "../lib/api.js";

/** Sends a file; `progress` is called with the share that is sent, from 0 to 1. Raises Problem. */
export function upload(path, file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries({ ...addedHeaders(path), "Content-Type": "text/csv" })) {
      request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = request.onabort = () => reject(problemOf(0, null, path));
    request.onload = () => {
      let content = null;
      try {
        content = JSON.parse(request.responseText);
      } catch {
        // A proxy in between may answer with something else.
      }
      if (request.status >= 200 && request.status < 300 && content) resolve(content);
      else reject(refuse(request.status, path, content));
    };
    request.send(file);
  });
}
