ARG PARENT
FROM ${PARENT}
ARG VERSION
RUN apt-get update \
 && apt-get install -y --no-install-recommends php${VERSION}-cli php${VERSION}-curl php${VERSION}-mbstring \
    php${VERSION}-xml php${VERSION}-zip php${VERSION}-intl php${VERSION}-sqlite3 php${VERSION}-pgsql \
    php${VERSION}-mysql php${VERSION}-gd php${VERSION}-bcmath composer unzip git \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s /usr/bin/php /usr/bin/composer /usr/local/bin/
COPY php-docker-ext.sh /usr/local/bin/docker-php-ext-install
RUN ln -s docker-php-ext-install /usr/local/bin/docker-php-ext-enable \
 && ln -s docker-php-ext-install /usr/local/bin/docker-php-ext-configure \
 && chmod 755 /usr/local/bin/docker-php-ext-install && php --version && composer --version
ENV COMPOSER_ALLOW_SUPERUSER=1
CMD ["php", "-a"]
