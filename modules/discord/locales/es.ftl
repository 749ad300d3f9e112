# Todo lo que dice el bot, en español.

language-name = Español

## Órdenes

command-imagine = imagina
    .description = Crea una imagen con palabras
    .model = modelo
    .model-description = Qué modelo la dibuja
    .prompt = prompt
    .prompt-description = Qué debe mostrar la imagen
    .aspect = formato
    .aspect-description = La forma o el tamaño de la imagen
    .seed = semilla
    .seed-description = Un número que vuelve a dar la misma imagen
    .negative = negativo
    .negative-description = Qué no debe mostrar (solo en modelos que lo entienden)
    .count = cantidad
    .count-description = Cuántas imágenes, cada una con su semilla
command-edit = edita
    .description = Cambia una imagen con palabras
    .prompt = prompt
    .prompt-description = Qué debe cambiar
    .image = imagen
    .image-description = La imagen que cambiar; si falta, la última tuya
    .image2 = imagen2
    .image2-description = Una segunda imagen de la que tomar algo
    .model = modelo
    .model-description = Qué modelo la edita
    .seed = semilla
    .seed-description = Un número que vuelve a dar la misma imagen
command-queue = cola
    .description = Cuántas esperan y en qué puesto estás
command-cancel = cancela
    .description = Retira imágenes que pediste
command-history = historial
    .description = Las imágenes que has creado
command-settings = ajustes
    .description = Tu modelo, formato, idioma y adónde van los resultados
    .model = modelo
    .model-description = El modelo que se te ofrece primero
command-forget = olvida
    .description = Borra tus prompts, imágenes y ajustes
command-help = ayuda
    .description = Qué sabe hacer este bot
command-edit-picture = Editar imagen
command-make-again = Hacer otra vez
command-admin = admin
    .description = Para administradores
command-admin-sync = sync
    .description = Registra ahora las órdenes en este servidor
command-admin-clearall = clearall
    .description = Quita las órdenes de este bot; sync las devuelve
command-admin-getid = getid
    .description = El id de este servidor
command-admin-status = estado
    .description = La cola, las GPU y sus tiempos
command-admin-gpus = gpus
    .description = Cada GPU: estado, modelos y qué hace ahora
command-admin-reload = recarga
    .description = Vuelve a leer las direcciones de las GPU
command-admin-pause = pausa
    .description = No empieza más imágenes; lo que espera conserva su puesto
command-admin-resume = sigue
    .description = Continúa tras una pausa
command-admin-drain = vacia
    .description = Deja que una GPU acabe lo que hace y no le da más
    .gpu = gpu
    .gpu-description = La dirección de la GPU
command-admin-block = bloquea
    .description = No acepta más imágenes de alguien
    .user = usuario
    .user-description = Quién
command-admin-unblock = desbloquea
    .description = Vuelve a aceptar imágenes de alguien
    .user = usuario
    .user-description = Quién
command-admin-limits = limites
    .description = Qué puede pedir cada quien y quién está bloqueado
command-admin-cancel = cancela
    .description = Cancela la imagen de cualquiera
    .job = trabajo
    .job-description = El número de la imagen, como 42
command-admin-find = busca
    .description = Quién hizo una imagen y a partir de qué
    .message = mensaje
    .message-description = Un enlace al mensaje, o su id

## Respuestas a una petición

queued = { $count ->
        [one] La imagen { $numbers } está en la cola.
       *[other] { $count } imágenes están en la cola: { $numbers }.
    } { $ahead ->
        [taken] { $count ->
            [one] Ya la tiene una GPU.
           *[other] Una GPU ya tiene la primera.
        }
        [0] { $count ->
            [one] Va la primera.
           *[other] Van las primeras.
        }
        [one] Hay una imagen antes.
       *[other] Hay { $ahead } imágenes antes.
    }
queued-expected = Se espera { $when }.
queued-paused = La cola está en pausa; tu puesto se conserva.
queued-no-server = Ahora no hay ninguna GPU; tu puesto se conserva y empieza cuando vuelva una.
queued-where = Aparecerá en { $channel }.
queued-where-direct = Te llegará por mensaje directo.

## El mensaje de estado de un trabajo

status-queued = **#{ $number }** espera: { $ahead ->
        [taken] ya la tiene una GPU.
        [0] es la primera de la cola ({ $waiting } esperan en total).
        [one] hay una imagen antes ({ $waiting } esperan en total).
       *[other] hay { $ahead } imágenes antes ({ $waiting } esperan en total).
    }
status-expected = Se espera { $when }.
status-no-server = Ahora no hay ninguna GPU. Tu puesto se conserva.
status-paused = La cola está en pausa. Tu puesto se conserva.
status-started = **#{ $number }** se está creando, empezó { $since }.
status-steps = { $bar } paso { $step } de { $steps }
status-retrying = **#{ $number }**: { $why ->
        [server] el servidor de GPU falló. La creará uno que funcione
        [server-none] el servidor de GPU falló y ahora ningún otro puede crearla. Espera hasta que uno pueda
        [lacks] a ese servidor de GPU le falta un archivo o un nodo de este modelo. La creará uno que lo tenga
        [lacks-none] al servidor de GPU le falta un archivo o un nodo de este modelo y ahora ningún otro lo tiene. Espera hasta que uno lo tenga
        [size] la GPU se quedó sin memoria. Se crea de nuevo con menos a la vez
        [size-alone] la GPU se quedó sin memoria. Se intenta de nuevo
        [content] la tanda falló. Se crea de nuevo en un grupo menor o sola, para dar con la causa
        [fusion] las imágenes de esa tanda no se pueden crear juntas. Ahora se crea cada una por separado
       *[nobody] la tanda falló. Se intenta de nuevo
    }; tu puesto se conserva.
status-finishing = **#{ $number }** está hecha y va hacia ti.
status-restarting = **#{ $number }**: el bot se reinicia, tu puesto se conserva.
status-cancelled = **#{ $number }** se canceló.
status-cancelled-by-other = Un administrador canceló **#{ $number }**.
status-failed = { $owner } **#{ $number }** no salió. { $why }
status-delivered = **#{ $number }** está lista.
status-kept = **#{ $number }** está hecha, pero no se pudo entregar. Se guarda y se muestra con tu próxima orden.
ended-delivered = **#{ $number }** está lista: [abrir]({ $link })
ended-delivered-in = **#{ $number }** está lista en { $channel }.
ended-deleted = **#{ $number }** se creó y está borrada.
ended-failed = **#{ $number }** no salió. { $why }
prompt-line = > { $prompt }

## El resultado

result-line = { $model } · { $size } · semilla `{ $seed }`
made-upscaled = { $made }, ampliada ×{ $factor }
made-edited = { $made }, editada con { $model }
result-variation = variación `{ $seed }`
result-waited = esperó { $seconds } s
result-gpu = GPU { $seconds } s para { $count }, { $each } s por imagen
result-gpu-alone = GPU { $seconds } s
result-number = **#{ $number }**
result-reencoded = Reducida para caber en el límite de archivos de este servidor.
result-moved = Tu canal anterior ya no existe; este es nuevo.
result-direct = Tu canal no se pudo usar, así que aquí está.
shared-by = De { $name }

## Botones y formularios

button-again = Otra vez
button-vary = Variar
button-edit = Editar
button-prompt = Prompt…
button-upscale = Ampliar
button-share = Compartir
button-delete = Borrar
button-cancel = Cancelar
button-older = Anteriores
button-newer = Siguientes
button-forget = Borrar todo
button-keep = Conservar
form-edit = Editar imagen
form-prompt = Cambiar y hacer otra vez
form-again = Hacer otra vez
form-field-prompt = Prompt
form-field-negative = Lo que no debe salir
form-field-seed = Semilla (vacía: una nueva)
form-field-size = Tamaño o formato
form-field-model = Modelo
form-cut = Aquí solo caben los primeros { $shown } de { $length } caracteres.
shared-done = Compartida en { $channel }.
shared-nowhere = Aquí no está configurado compartir.
shared-refused = La galería no aceptó la imagen. Un administrador puede ver si el bot puede publicar allí.
deleted = Borrada.
cancelled-mine = { $count ->
        [0] Ya no había nada que cancelar.
        [one] Cancelada: { $numbers }.
       *[other] Canceladas: { $numbers }.
    }
cancel-choose = ¿Qué imágenes retiras?
cancel-all = Todas
cancel-none = No tienes nada en la cola.

## Formatos

aspect-default = La forma propia del modelo
aspect-square = Cuadrado
aspect-portrait = Vertical
aspect-landscape = Horizontal
aspect-wide = Panorámico
aspect-tall = Alto
choice-model = { $label } · { $seconds ->
        [unknown] { $steps ->
            [one] { $steps } paso
           *[other] { $steps } pasos
        }
       *[other] ~{ $seconds } s
    } · { $description }

## /queue

queue-title = La cola
queue-counts = { $waiting } en espera, { $taken ->
        [0] {""}
       *[other] { $taken } a continuación,{" "}
    }{ $running } creándose, { $arriving ->
        [0] {""}
       *[other] { $arriving } en camino,{" "}
    }{ $users ->
        [one] una persona
       *[other] { $users } personas
    }.
queue-closed = Ahora no se acepta nada.
queue-mine-running = **#{ $number }** está en una GPU{ $when ->
        [none] .
       *[other] , se espera { $when }.
    }
queue-mine-waiting = **#{ $number }**: { $ahead ->
        [0] la primera de la cola
        [one] una antes
       *[other] { $ahead } antes
    }{ $when ->
        [none] .
       *[other] , se espera { $when }.
    }
queue-none-mine = No tienes nada en la cola.

## /history

history-title = Tus imágenes
history-empty = Todavía no has creado imágenes.
history-line = **#{ $number }** { $when } · { $model } · { $size ->
        [none] {""}
       *[other] { $size } ·{" "}
    }{ $state ->
        [delivered] [abrir]({ $link })
        [failed] no salió
        [cancelled] cancelada
        [deleted] borrada
        [kept] guardada para ti
       *[other] en la cola
    }
history-pick = ¿Qué hacer con una de ellas?
history-act = #{ $number } { $prompt }

## /settings

settings-title = Tus ajustes
settings-saved = Guardado.
settings-model = Modelo
settings-aspect = Formato
settings-locale = Idioma
settings-locale-auto = El idioma de Discord
settings-switches = Además
settings-previews = Mostrar cómo se forma la imagen
settings-notify = Mencionarme cuando una imagen esté lista
settings-direct = Enviar los resultados por mensaje directo

## /forget

forget-ask = Esto borra tus prompts, tus imágenes en la memoria del bot y tus ajustes. No se puede deshacer. Los mensajes en Discord quedan, salvo tu canal de sesión, que se cierra.
forget-done = Todo está borrado.
forget-kept = No se borró nada.
forget-busy = Todavía hay imágenes tuyas en la cola. Espéralas o retíralas con /cancela.

## /help

help-imagine = **/imagina** crea una imagen con palabras: elige un modelo y escribe qué debe mostrar.
help-edit = **/edita** cambia una imagen: adjunta una, o no pongas ninguna para cambiar la última.
help-queue = **/cola** muestra tu puesto, **/cancela** retira imágenes, **/historial** muestra lo que creaste.
help-settings = **/ajustes** guarda tu modelo, formato e idioma, **/olvida** borra lo que se guarda de ti.
help-buttons = Los botones bajo una imagen funcionan mientras exista el mensaje.
help-limit = Puedes tener { $limit ->
        [one] una imagen
       *[other] { $limit } imágenes
    } a la vez en la cola.
help-models = **Modelos**
help-model = **{ $label }**: { $description }

## El canal de sesión

session-topic = Imágenes privadas de una persona. Se cierra tras { $minutes ->
        [one] un minuto
       *[other] { $minutes } minutos
    } sin uso. { $marker }
session-closing = { $owner } Este canal se cierra { $when } si no lo usas. /historial sigue encontrando tus imágenes.

## Administradores

admin-only = Solo los administradores pueden hacer esto.
admin-synced = { $count ->
        [one] Una orden está registrada en este servidor.
       *[other] { $count } órdenes están registradas en este servidor.
    }
admin-cleared = Las órdenes de este bot se han quitado, las globales y las de este servidor. Nada de la cola se ha tocado. `!sync` las devuelve.
admin-guild-id = El id de este servidor es `{ $id }`.
admin-paused = En pausa: no se empieza nada. Lo que está en marcha se termina y lo que espera conserva su puesto.
admin-resumed = La cola continúa.
admin-draining = { $gpu } acaba lo que hace y no recibe más.
admin-no-gpu = No hay ninguna GPU con ese nombre. Hay: { $names }.
admin-reloaded = Leído de nuevo. GPU: { $names }.
admin-blocked = { $user } está bloqueado. { $count ->
        [0] No tenía nada en la cola.
        [one] Se canceló una imagen suya.
       *[other] Se cancelaron { $count } imágenes suyas.
    }
admin-unblocked = { $user } puede volver a pedir imágenes.
admin-cancelled = **#{ $number }** de { $user } está cancelada.
admin-status-title = Estado
admin-status-queue = Cola
admin-status-expected = La última de la cola se espera { $when }.
admin-status-gpus = GPU
admin-status-chart = Cuánto ha trabajado cada GPU desde el inicio, en el orden de arriba
admin-status-discord = Discord
admin-status-requests = { $requests } peticiones, { $refused } rechazadas por ser demasiadas
admin-status-check = Revisión
admin-status-check-counts = { $ok } en orden, { $hint } mejorables, { $fault } por arreglar
admin-status-check-area = `{ $area }`: { $hint } mejorables, { $fault } por arreglar
admin-status-check-where = `python bot.py check` dice cuáles.
admin-gpu-notes = Avisos: { $count }; `python bot.py check` dice cuáles.
admin-status-check-slow = La revisión tarda demasiado ahora; `python bot.py check` dice dónde espera.
admin-gpu-line = **{ $name }** { $state ->
        [idle] libre
        [busy] ocupada
        [down] ausente
        [draining] terminando
       *[other] arrancando
    } · { $pictures ->
        [one] una imagen
       *[other] { $pictures } imágenes
    }{ $each ->
        [0] {""}
       *[other] , { $each } s cada una
    } · ocupada { $share } %
admin-gpu-models = Modelos: { $models }
admin-gpu-error = Último error: { $error }
admin-no-gpus = No hay ninguna GPU configurada.
admin-limits-everybody = Cualquiera: { $jobs } a la vez, { $daily ->
        [0] sin límite
       *[other] { $daily }
    } al día.
admin-limits-role = { $role }: { $jobs } a la vez, { $daily ->
        [0] como cualquiera
       *[other] { $daily }
    } al día, prioridad { $tier }.
admin-limits-cooldown = Al menos { $seconds } s entre dos peticiones.
admin-limits-blocked = Bloqueados: { $users }
admin-limits-nobody-blocked = No hay nadie bloqueado.
admin-found = **#{ $number }** de { $user }, { $when }: { $model }{ $size ->
        [none] {""}
       *[other] , { $size }
    }, semilla `{ $seed }`

## Errores

error-unexpected = Algo salió mal que no debía. Está en el registro; inténtalo de nuevo.
error-bad-prompt = { $length ->
        [0] Escribe qué debe mostrar la imagen.
       *[other] El prompt tiene { $length } caracteres; caben como mucho { $limit }.
    }
error-bad-size = { $size } no es un tamaño de este modelo. Son posibles: { $allowed }.
error-bad-seed = Una semilla es un número entero de 0 a 9007199254740991.
error-bad-source-image = { $problem ->
        [not-image] Ese archivo no es una imagen que pueda leer. Valen PNG, JPEG, WebP y GIF.
        [truncated] Esa imagen está cortada o dañada. Súbela otra vez.
        [too-many-pixels] Esa imagen es demasiado grande: caben como mucho { $megapixels } millones de píxeles.
        [too-many-bytes] Ese archivo es demasiado grande: caben como mucho { $megabytes } MB.
        [took-too-long] Leer esa imagen tardó demasiado. Prueba con una más sencilla.
        [gone] Esa imagen ya no está. Súbela otra vez.
       *[other] Esa imagen no se puede usar.
    }
error-no-source-image = Adjunta una imagen que cambiar; no tienes ninguna anterior.
error-source-count = { $model } parte de este número de imágenes: { $count }.
error-unknown-model = No hay ningún modelo llamado { $model }. Elige uno de la lista.
error-model-unavailable = Ahora ninguna GPU puede usar { $model }. Elige otro modelo o prueba más tarde.
error-not-allowed-here = { $model } solo funciona en canales con restricción de edad.
error-restricted-picture = Con esa imagen solo se puede trabajar en canales con restricción de edad.
error-user-limit = { $limit ->
        [one] Puedes tener una imagen a la vez en la cola
       *[other] Puedes tener { $limit } imágenes a la vez en la cola
    }; { $active ->
        [0] pediste { $asked }.
        [one] ya hay una.
       *[other] ya hay { $active }.
    }
error-daily-limit = { $limit ->
        [one] Tu imagen de hoy ya está hecha.
       *[other] Tus { $limit } imágenes de hoy están gastadas.
    } La cuenta empieza de nuevo a medianoche (UTC).
error-cooling-down = Espera { $seconds ->
        [one] un segundo más.
       *[other] { $seconds } segundos más.
    }
error-blocked = Aquí no puedes pedir imágenes. Lo decidió un administrador.
error-banned-word = El prompt contiene una palabra que esta comunidad no permite.
error-unknown-job = Esa imagen ya no está en la cola.
error-not-your-job = Esa imagen es de otra persona.
error-too-many-channels = En este servidor no cabe otro canal. Pide a un administrador que quite alguno.
error-queue-closed = { $why ->
        [shutting-down] El bot se reinicia. Prueba de nuevo en un minuto.
        [paused] El bot está en pausa. Prueba más tarde.
        [set-up] El bot aún no está configurado: falta el id de su servidor.
        [wrong-guild] El bot está configurado para otro servidor.
        [store] Ahora no se alcanza la memoria del bot. Prueba de nuevo en un minuto.
       *[other] Ahora no se acepta nada. Prueba más tarde.
    }
error-generation = No salió: { $reason }
error-engine-unavailable = El servidor de GPU falló o no se pudo alcanzar. Inténtalo de nuevo.
error-server-lacks = Al servidor de GPU le falta algo que el modelo necesita: { $reason }
error-out-of-memory = La memoria de la GPU no bastó ni para esta imagen sola. Prueba con un tamaño menor.
error-fusion-refused = Esta imagen no se puede hacer junto con otras. Ahora se hace por separado.
error-workflow-rejected = El servidor de GPU la rechazó: { $reason }
error-execution-failed = Falló mientras se creaba: { $reason }
error-no-output = Terminó sin imagen. Inténtalo de nuevo.
error-attempts-exhausted = Fallaron todos los intentos en un servidor de GPU. Prueba más tarde. ({ $reason })
error-store = Ahora no se alcanza la memoria del bot. Prueba de nuevo en un minuto.
error-permissions = Aquí no puedo hacer eso. Pide a un administrador que me dé el permiso: { $permissions }.
error-form-number = «{ $value }» no es un número.
error-no-picture-here = En ese mensaje no hay ninguna imagen.
error-no-negative = { $model } no entiende un prompt negativo. Déjalo vacío.
error-gone = Esa imagen ya no está en mi memoria.
error-not-a-member = Solo los miembros del servidor del bot pueden hacer esto.
